"""`tightrope inspect`."""

from typing import Any

import click

from tightrope.commands.common import as_json, console, examples, read_model, rope_options, write


@click.command(
    epilog=examples(
        "tightrope inspect path/to/config.json",
    )
)
@click.argument("source")
@rope_options
@click.option("--json", "as_object", is_flag=True, help="Print JSON, with every frequency.")
def inspect(source: str, block: dict[str, Any] | None, layer_type: str | None, as_object: bool) -> None:
    """Print what a configuration means: ropes, wavelengths against the context, layers, notes.

    SOURCE is a config.json or a folder that has one.
    """
    from tightrope.viewing.facts import facts
    from tightrope.viewing.tables import print_facts

    model = read_model(source, block, layer_type)
    if as_object:
        write("-", as_json(facts(model)))
    else:
        print_facts(console(), model, source)
