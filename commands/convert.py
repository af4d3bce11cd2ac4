"""`tightrope convert`."""

from typing import Any, Literal

import click

from tightrope.commands.common import Source, examples, rope_options, source_argument
from tightrope.commands.output import Output, as_json, file_option, output_options, write


@click.command(
    epilog=examples(
        "tightrope convert path/to/model --to v4 -o config.json",
        'tightrope convert config.json --to v5 --rope \'{"rope_type": "yarn", "factor": 4.0}\'',
    )
)
@source_argument()
@click.option("--to", "spelling", type=click.Choice(["v4", "v5"]), required=True, help="How to write the rope.")
@file_option(default="-", help="[default: print it]")
@rope_options
@output_options
def convert(
    source: Source, spelling: Literal["v4", "v5"], path: str, block: dict[str, Any] | None, layer_type: str | None,
    out: Output,
) -> None:  # fmt: skip
    """Write a config.json in the other spelling.

    A reader may know only one: v4 has rope_theta and rope_scaling, v5 has rope_parameters. Every other key stays as it
    is. SOURCE is a config.json, a folder that has one, or - for standard input. FILE is written whole or not at all,
    and may be SOURCE itself. --json has the keys that changed.
    """
    from tightrope.rope.reading import convert as converting
    from tightrope.rope.reading.source import load

    before, _ = load(source)
    after = converting.convert(source, spelling, scaling=block, layer_type=layer_type)
    write(path, as_json(after))
    removed, written = converting.changes(before, after)
    if path != "-":
        out.console.print(f"{path}: {', '.join(written) or 'no key'} written; {', '.join(removed) or 'none'} removed")
    out.write_json({"file": path, "spelling": spelling, "written": written, "removed": removed})
