"""`tightrope validate`."""

import click

from tightrope.commands.common import examples


@click.command(
    epilog=examples(
        "tightrope validate path/to/config.json path/to/folder",
    )
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--strict", is_flag=True, help="Unknown keys and an unknown model_type are problems too.")
@click.pass_context
def validate(ctx: click.Context, sources: tuple[str, ...], strict: bool) -> None:
    """Print what is wrong with configurations, a problem a line.

    SOURCE is a config.json, a folder that has one, or a folder of *.json. Exit status 1 if there is any problem.
    """
    from tightrope.rope.reading.validating import find_sources, problems

    found = [line for _, source in find_sources(sources) for line in problems(source, strict=strict)]
    for line in found:
        click.echo(line)
    ctx.exit(1 if found else 0)
