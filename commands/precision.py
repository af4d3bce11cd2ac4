"""`tightrope precision`."""

from typing import Any

import click

from tightrope.commands.shared.common import (
    Source,
    backends_option,
    choose,
    examples,
    name_of,
    read_model,
    rope_options,
    source_argument,
)
from tightrope.commands.shared.output import Output, output_options, plot_option


@click.command(
    epilog=examples(
        "tightrope precision",
        "tightrope precision path/to/config.json --backends mlx",
        "tightrope precision path/to/config.json --plot error.png",
    )
)
@source_argument(required=False)
@backends_option
@rope_options
@plot_option("Draw it, with the installed libraries, into a .png, .svg or .pdf file.")
@output_options
def precision(
    source: Source | None, wanted: list[str], block: dict[str, Any] | None, layer_type: str | None, picture: str | None,
    out: Output,
) -> None:  # fmt: skip
    """Print how far cos and sin are off, by position and precision.

    "exact" has no rounding in the phase; "float32" is transformers' arithmetic, which loses the phase at far positions.
    SOURCE is a config.json, a folder that has one, a GGUF file, the name of a model on the Hugging Face hub, or - for
    standard input; default: Llama 3's base, 500,000, on 128 channels.
    """
    from tightrope import viewing
    from tightrope.rope.errors import RopeConfigError
    from tightrope.rope.reading.conversion import config_of
    from tightrope.verify import parity as library
    from tightrope.verify.accuracy import positions
    from tightrope.verify.accuracy.curves import error_curves
    from tightrope.viewing.terminal.precision import print_errors

    model = read_model(source or library.LLAMA_3, block, layer_type)
    if not model.ropes:
        raise RopeConfigError("this model has no rotary positions", source=None if source is None else str(source))
    subjects, _ = choose(out, wanted)
    found = {
        key: positions.precision_figures(rope, subjects)
        for key, rope in out.track(list(model.ropes.items()), "measuring")
    }
    for key, figures in found.items():
        if len(found) > 1:
            out.console.say(key, "bold")
        print_errors(out.console, figures)
    out.write_json([{"rope": key, "errors": figures} for key, figures in found.items()])
    if picture:
        config = config_of(source or library.LLAMA_3, block, layer_type)
        errors = {key: error_curves(config, model, key, subjects) for key in out.track(list(model.ropes), "drawing")}
        out.draw(lambda: viewing.draw_errors(model, errors, name_of(source) if source else "Llama 3"), picture)
