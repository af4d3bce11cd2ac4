"""`tightrope precision`."""

from typing import Any

import click

from tightrope.commands.common import (
    as_json,
    backends_option,
    examples,
    name_of,
    read_model,
    rope_options,
    save_figure,
    write,
)


@click.command(
    epilog=examples(
        "tightrope precision",
        "tightrope precision path/to/config.json --backends mlx",
        "tightrope precision path/to/config.json --plot error.png",
    )
)
@click.argument("source", required=False)
@backends_option
@rope_options
@click.option(
    "--plot",
    "picture",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Draw it, with the libraries that are installed: .png, .svg or .pdf.",
)
@click.option("--json", "as_object", is_flag=True, help="Print JSON.")
def precision(
    source: str | None, wanted: list[str], block: dict[str, Any] | None, layer_type: str | None, picture: str | None,
    as_object: bool,
) -> None:  # fmt: skip
    """Print how far cos and sin are off, by position and precision.

    "exact" has phases without rounding; "float32" is transformers' arithmetic, which loses the phase as positions grow.
    SOURCE is a config.json or a folder that has one; none: Llama 3's base, 500,000, on 128 channels.
    """
    from tightrope import viewing
    from tightrope.backends import parity as library
    from tightrope.rope.errors import RopeConfigError
    from tightrope.viewing.accuracy import config_of, error_curves

    model = read_model(source or library.LLAMA_3, block, layer_type)
    if not model.ropes:
        raise RopeConfigError("this model has no rotary positions", source=source)
    subjects, _ = library.choose(wanted)
    if as_object:
        write("-", as_json({key: library.precision_figures(rope, subjects) for key, rope in model.ropes.items()}))
    else:
        _print_tables(library, model, subjects)
    if picture:
        config = config_of(source or library.LLAMA_3, block, layer_type)
        errors = {key: error_curves(config, model, key, subjects) for key in model.ropes}
        title = name_of(source) if source else "Llama 3"
        save_figure(viewing.draw_errors(model, errors, title), picture)


def _print_tables(library: Any, model: Any, subjects: Any) -> None:
    for key, rope in model.ropes.items():
        if len(model.ropes) > 1:
            click.echo(key)
        click.echo("\n".join(library.precision_table(rope, subjects)))
