"""`tightrope inspect`."""

from typing import TYPE_CHECKING, Any

import click

from tightrope.commands.shared.common import (
    Source,
    SourceType,
    examples,
    name_of,
    read_model,
    rope_options,
    source_argument,
)
from tightrope.commands.shared.output import Output, output_options, plot_option

if TYPE_CHECKING:
    from tightrope.rope.config.model import ModelRope
    from tightrope.rope.reading.huggingface.towers import Tower


@click.command(
    epilog=examples(
        "tightrope inspect path/to/config.json",
        "tightrope inspect path/to/config.json --tower vision",
        "tightrope inspect path/to/config.json --plot rope.png",
        "tightrope inspect path/to/a.json --compare path/to/b.json --plot both.png",
        "tightrope inspect --diff path/to/a.json path/to/b.json",
    )
)
@source_argument()
@click.argument("second", required=False, type=SourceType())
@click.option("--diff", is_flag=True, help="Print how the rotations of two SOURCEs differ.")
@rope_options
@click.option(
    "--tower", type=click.Choice(["vision", "audio"]), help="Read a tower of a multimodal model, not its text part."
)
@plot_option("Draw it into a .png, .svg or .pdf file.")
@click.option(
    "--compare",
    "compared",
    type=SourceType(),
    metavar="SOURCE",
    help="Overlay a second configuration; needs --plot.",
)
@output_options
def inspect(
    source: Source,
    second: Source | None,
    diff: bool,
    block: dict[str, Any] | None,
    layer_type: str | None,
    tower: "Tower | None",
    picture: str | None,
    compared: Source | None,
    out: Output,
) -> None:
    """Print what a configuration means.

    SOURCE is a config.json, a folder that has one, a GGUF file, the name of a model on the Hugging Face hub, or - for
    standard input. --json has every frequency, too. Exit status 1 where --diff finds a difference.
    """
    from tightrope import viewing
    from tightrope.viewing.facts import facts
    from tightrope.viewing.terminal.inspect import print_facts

    if compared and not picture:
        raise click.UsageError("--compare needs --plot")
    if diff != (second is not None):
        raise click.UsageError("--diff needs two SOURCEs" if diff else "a second SOURCE needs --diff")
    model = read_model(source, block, layer_type, tower)
    if second is not None:
        _print_differences(out, (source, second), (model, read_model(second, None, None, tower)))
        return
    print_facts(out.console, model, str(source))
    out.write_json([{"source": str(source), **facts(model)}])
    if picture and compared:
        names = _told_apart(source, compared, replaced=block is not None)
        other = read_model(compared, None, None, tower)
        out.draw(lambda: viewing.draw_comparison(model, other, names), picture)
    elif picture:
        out.draw(lambda: viewing.draw(model, name_of(source)), picture)


def _print_differences(out: Output, sources: tuple[Source, Source], models: "tuple[ModelRope, ModelRope]") -> None:
    """Print what tells two rotations apart, and end with status 1 where anything does."""
    from tightrope.rope.identity.compare import differences, other_differences

    rotation, others = differences(*models), other_differences(*models)
    first, second = map(str, sources)
    said = "rotate differently" if rotation else "rotate alike"
    out.console.say(f"{first} and {second} {said}", "bold red" if rotation else "green")
    out.console.say_all(*(f"  {line}" for line in rotation), *(f"  besides: {line}" for line in others))
    found = {"first": first, "second": second, "differences": list(rotation), "besides": list(others)}
    out.write_json([found])
    out.finish(passed=not rotation, failure=f"{first} and {second} rotate differently: {'; '.join(rotation)}")


def _told_apart(source: Source, other: Source, *, replaced: bool) -> tuple[str, str]:
    """Return names for two configurations: short ones where they differ."""
    mark = " with --rope" if replaced else ""
    left, right = name_of(source) + mark, name_of(other)
    return (left, right) if left != right else (str(source), str(other))
