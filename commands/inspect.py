"""`tightrope inspect`."""

from typing import Any

import click

from tightrope.commands.common import as_json, console, examples, name_of, read_model, rope_options, save_figure, write


@click.command(
    epilog=examples(
        "tightrope inspect path/to/config.json",
        "tightrope inspect path/to/config.json --plot rope.png",
        "tightrope inspect path/to/a.json --compare path/to/b.json --plot both.png",
    )
)
@click.argument("source")
@rope_options
@click.option("--json", "as_object", is_flag=True, help="Print JSON, with every frequency.")
@click.option("--plot", "picture", type=click.Path(dir_okay=False), metavar="FILE", help="Draw it: .png, .svg or .pdf.")
@click.option("--compare", "other", metavar="SOURCE", help="Draw a second configuration over it; needs --plot.")
def inspect(
    source: str, block: dict[str, Any] | None, layer_type: str | None, as_object: bool, picture: str | None,
    other: str | None,
) -> None:  # fmt: skip
    """Print what a configuration means.

    SOURCE is a config.json or a folder that has one.
    """
    from tightrope import viewing
    from tightrope.viewing.facts import facts
    from tightrope.viewing.tables import print_facts

    if other and not picture:
        raise click.UsageError("--compare needs --plot")
    model = read_model(source, block, layer_type)
    if as_object:
        write("-", as_json(facts(model)))
    else:
        print_facts(console(), model, source)
    if picture and other:
        names = name_of(source), name_of(other)
        save_figure(viewing.draw_comparison(model, read_model(other, None, None), names), picture)
    elif picture:
        save_figure(viewing.draw(model, name_of(source)), picture)
