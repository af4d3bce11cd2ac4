"""`tightrope validate`."""

from itertools import chain

import click

from tightrope.commands.common import as_json, examples, write


@click.command(
    epilog=examples(
        "tightrope validate path/to/config.json path/to/folder",
        "tightrope validate path/to/folder --json",
    )
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--strict", is_flag=True, help="Unknown keys and an unknown model_type are problems too.")
@click.option("--json", "as_object", is_flag=True, help="Print JSON: the problems of each configuration.")
@click.pass_context
def validate(ctx: click.Context, sources: tuple[str, ...], strict: bool, as_object: bool) -> None:
    """Print what is wrong with configurations, a problem a line.

    SOURCE is a config.json, a folder that has one, or a folder of *.json. Exit status 1 if there is any problem.
    """
    from tightrope.rope.reading.validating import find_sources, problems

    found = {str(source): problems(source, strict=strict) for _, source in find_sources(sources)}
    if as_object:
        write("-", as_json(found))
    else:
        for line in chain.from_iterable(found.values()):
            click.echo(line)
    ctx.exit(1 if any(found.values()) else 0)
