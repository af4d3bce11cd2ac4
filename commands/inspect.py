"""`tightrope inspect`."""

from typing import TYPE_CHECKING, Any

import click

from tightrope.commands.common import Source, as_source, examples, name_of, read_model, rope_options, source_argument
from tightrope.commands.output import Output, output_options, plot_option

if TYPE_CHECKING:
    from tightrope.rope.reading.huggingface.towers import Tower


@click.command(
    epilog=examples(
        "tightrope inspect path/to/config.json",
        "tightrope inspect path/to/config.json --tower vision",
        "tightrope inspect path/to/config.json --plot rope.png",
        "tightrope inspect path/to/a.json --compare path/to/b.json --plot both.png",
    )
)
@source_argument()
@rope_options
@click.option("--tower", type=click.Choice(["vision", "audio"]), help="Of a model of several parts, not the text.")
@plot_option("Draw it: .png, .svg or .pdf.")
@click.option(
    "--compare",
    "other",
    callback=as_source,
    metavar="SOURCE",
    help="Draw a second configuration over it; needs --plot.",
)
@output_options
def inspect(
    source: Source,
    block: dict[str, Any] | None,
    layer_type: str | None,
    tower: "Tower | None",
    picture: str | None,
    other: Source | None,
    out: Output,
) -> None:
    """Print what a configuration means.

    SOURCE is a config.json, a folder that has one, a GGUF file, the name of a model on the Hugging Face hub, or - for
    standard input. --json has every frequency, too.
    """
    from tightrope import viewing
    from tightrope.viewing.facts import facts
    from tightrope.viewing.terminal.inspect import print_facts

    if other and not picture:
        raise click.UsageError("--compare needs --plot")
    model = read_model(source, block, layer_type, tower)
    print_facts(out.console, model, str(source))
    out.write_json(facts(model))
    if picture and other:
        names = _told_apart(source, other, replaced=block is not None)
        compared = read_model(other, None, None, tower)
        out.draw(lambda: viewing.draw_comparison(model, compared, names), picture)
    elif picture:
        out.draw(lambda: viewing.draw(model, name_of(source)), picture)


def _told_apart(source: Source, other: Source, *, replaced: bool) -> tuple[str, str]:
    """Return names for two configurations: short ones where they differ."""
    mark = " with --rope" if replaced else ""
    left, right = name_of(source) + mark, name_of(other)
    return (left, right) if left != right else (str(source), str(other))
