"""`tightrope report`."""

from typing import Any

import click

from tightrope.commands.shared.common import (
    Source,
    backends_option,
    examples,
    name_of,
    read_model,
    rope_options,
    source_argument,
)
from tightrope.commands.shared.output import Output, file_option, output_options, write
from tightrope.rope.support.extras import import_extra


@click.command(
    short_help="Write an interactive page about a configuration.",
    epilog=examples(
        "tightrope report path/to/config.json -o report.html",
        'tightrope report . -o x.html --rope \'{"rope_type": "yarn", "factor": 4}\'',
    ),
)
@source_argument()
@file_option(required=True, help="File to write.")
@backends_option
@rope_options
@output_options
def report(
    source: Source, path: str, wanted: list[str], block: dict[str, Any] | None, layer_type: str | None, out: Output
) -> None:
    """Write an interactive page about a configuration: one HTML file that needs no network.

    Frequencies and wavelengths, a slider for the sequence length, the results of parity and audit on this machine, and
    the notes of the reader. SOURCE is a config.json, a folder that has one, a GGUF file, the name of a
    model on the Hugging Face hub, or - for standard input.
    """
    from tightrope.rope.reading.conversion import config_of
    from tightrope.viewing import report as library

    import_extra("plotly", purpose="reports")  # comparing takes a while
    model = read_model(source, block, layer_type)
    config = source if block is None else config_of(source, block, layer_type)
    steps = list(library.findings(config, wanted).items()) if model.ropes else []
    found = {name: find() for name, find in out.track(steps, "comparing")}
    data = library.report_data(model, name_of(source), found.get("parity"), found.get("audit"))
    content = library.page(data)
    write(path, content)
    out.written(path, f", {len(content) / 1e6:.1f} MB, opens in any browser without network")
    out.write_json([data])
