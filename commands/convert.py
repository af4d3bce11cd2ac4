"""`tightrope convert`."""

from typing import Any, Literal

import click

from tightrope.commands.common import as_json, examples, rope_options, write


@click.command(
    epilog=examples(
        "tightrope convert path/to/model --to v4 -o config.json",
        'tightrope convert config.json --to v5 --rope \'{"rope_type": "yarn", "factor": 4.0}\'',
    )
)
@click.argument("source")
@click.option("--to", "spelling", type=click.Choice(["v4", "v5"]), required=True, help="How to write the rope.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), default="-", metavar="FILE", help="[default: print it]"
)
@rope_options
def convert(
    source: str, spelling: Literal["v4", "v5"], output: str, block: dict[str, Any] | None, layer_type: str | None
) -> None:
    """Write a config.json in the other spelling.

    A reader may know only one: v4 has rope_theta and rope_scaling, v5 has rope_parameters. Every other key stays as it
    is. FILE is written whole or not at all, and may be SOURCE itself.
    """
    from tightrope.rope.reading.converting import convert as converted

    write(output, as_json(converted(source, spelling, scaling=block, layer_type=layer_type)))
