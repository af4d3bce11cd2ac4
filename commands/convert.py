"""`tightrope convert`."""

from pathlib import Path
from typing import Any, Literal

import click

from tightrope.commands.shared.common import Source, examples, read_model, rope_options, source_argument
from tightrope.commands.shared.output import Output, file_option, output_options, write, write_json_file
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.support.printable import printable


@click.command(
    epilog=examples(
        "tightrope convert path/to/model --to v4 -o config.json",
        'tightrope convert . --to v5 --rope \'{"rope_type": "yarn", "factor": 4}\'',
        "tightrope convert config.json --to gguf-metadata --check model.gguf",
    )
)
@source_argument()
@click.option(
    "--to", "spelling", type=click.Choice(["v4", "v5", "gguf-metadata"]), required=True, help="Spelling to write."
)
@click.option(
    "--check",
    "checked",
    type=click.Path(exists=True, dir_okay=False),
    metavar="GGUF",
    help="Print the keys in which this file differs (gguf-metadata).",
)
@file_option(default="-", help="[default: print it]")
@rope_options
@output_options
def convert(
    source: Source, spelling: Literal["v4", "v5", "gguf-metadata"], checked: str | None, path: str,
    block: dict[str, Any] | None, layer_type: str | None, out: Output,
) -> None:  # fmt: skip
    """Write a config.json in the other spelling.

    A library may read only one: v4 has rope_theta and rope_scaling, v5 has rope_parameters. All other keys stay as they
    are. SOURCE is a config.json, a folder that has one, the name of a model on the Hugging Face hub, or - for standard
    input. FILE is written completely or not at all, and may be SOURCE itself. --json has the keys that changed.

    --to gguf-metadata prints the metadata about rotation that llama.cpp's converter should write for this model; with
    --check, the keys in which a GGUF file differs (exit status 1).
    """
    from tightrope.rope.reading import conversion as converting
    from tightrope.rope.reading.source import load

    if spelling == "gguf-metadata":
        _metadata(source, checked, path, block, layer_type, out)
        return
    if checked is not None:
        raise click.UsageError("--check needs --to gguf-metadata")
    before, _ = load(source)
    after = converting.convert(source, spelling, scaling=block, layer_type=layer_type)
    write_json_file(path, after)
    removed, written = converting.changes(before, after)
    if path != "-":
        out.console.say(f"{path}: {', '.join(written) or 'no key'} written; {', '.join(removed) or 'none'} removed")
    out.write_json([{"file": path, "spelling": spelling, "written": written, "removed": removed}])


def _metadata(
    source: Source, checked: str | None, path: str, block: dict[str, Any] | None, layer_type: str | None, out: Output
) -> None:
    """Print the keys that llama.cpp needs, or in which a file differs from them."""
    from tightrope.rope.reading.gguf.file import open_file
    from tightrope.rope.reading.gguf.writing.differences import differences
    from tightrope.rope.reading.gguf.writing.metadata import metadata_of
    from tightrope.rope.reading.source import load

    config, _ = load(source)
    wanted = metadata_of(config, read_model(source, block, layer_type))
    keys = {f"{wanted.architecture}.{key}": value for key, value in wanted.values.items()}
    written = {"general.architecture": wanted.architecture, **keys}
    tensors = {f"{name}.weight": list(values) for name, values in wanted.divisors.items()}
    if checked is None:
        write_json_file(path, {**written, **({"tensors": tensors} if tensors else {})})
        out.write_json([{"keys": written, "tensors": tensors}])
        return
    try:
        found = differences(open_file(Path(checked)), wanted)
    except RopeConfigError as error:
        raise RopeConfigError(error.problems, source=checked) from error
    words = "".join(f"{printable(line)}\n" for line in found) or f"{checked}: no key about rotation differs\n"
    write(path, words.encode())
    out.write_json([{"file": checked, "differences": found}])
    out.finish(passed=not found, failure=f"{checked}: {len(found)} keys about rotation differ")
