"""`tightrope parity`."""

import time
from typing import TYPE_CHECKING, Any

import click

from tightrope.commands.shared.common import Source, SourceType, backends_option, choose, examples, rope_options
from tightrope.commands.shared.failures import in_a_line
from tightrope.commands.shared.output import Output, output_options, write
from tightrope.rope.reference import DTYPES

if TYPE_CHECKING:
    from tightrope.verify.parity import ModelReport


@click.command(
    epilog=examples(
        "tightrope parity",
        "tightrope parity path/to/config.json --backends torch:cpu,mlx:cpu",
        'tightrope parity config.json --rope \'{"rope_type": "yarn", "factor": 4}\'',
    )
)
@click.argument("configs", nargs=-1, metavar="[CONFIG]...", type=SourceType())
@backends_option
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(DTYPES), help="Dtype of q and k; may be repeated.")
@click.option("--max-position", type=click.IntRange(min=16), metavar="TOKENS", help="Longest context to compare.")
@rope_options
@click.option(
    "--junit", "junit_file", type=click.Path(dir_okay=False), metavar="FILE", help="Write a JUnit report to FILE."
)
@output_options
def parity(
    configs: tuple[Source, ...], wanted: list[str], dtypes: tuple[Any, ...], max_position: int | None,
    block: dict[str, Any] | None, layer_type: str | None, junit_file: str | None, out: Output,
) -> None:  # fmt: skip
    """Prove that the backends rotate alike.

    Every backend is compared with exact arithmetic and with the others: frequencies, angles, rotation and gradient.
    CONFIG is a config.json, a folder that has one, a folder of *.json, a GGUF file, the name of a model on the Hugging
    Face hub, or - for standard input; default: a built-in gallery of models.
    """
    from tightrope.rope.reading.validate import find_sources
    from tightrope.verify import parity as library
    from tightrope.viewing.terminal import parity as shown

    if block and not configs:
        raise click.UsageError("--rope needs a CONFIG")
    started = time.monotonic()
    subjects, absent = choose(out, wanted)
    sources = list(find_sources(configs) if configs else library.GALLERY.items())
    shown.print_backends(out.console, subjects, absent)
    options: dict[str, Any] = {"block": block, "layer_type": layer_type, "max_position": max_position}
    models = []
    for name, source in out.track(sources, "comparing"):
        models.append(_compared(name, source, subjects, dtypes=dtypes or DTYPES, **options))
        shown.print_model(out.console, models[-1], [one.name for one in subjects])
    report = library.summarise(subjects, absent, models)
    shown.print_summary(out.console, report, time.monotonic() - started)
    out.write_json([report.to_dict()])
    if junit_file:
        write(junit_file, library.junit(models))
        out.written(junit_file)
    out.finish(passed=report.agrees, failure=report.failure)


def _compared(name: str, *arguments: Any, **options: Any) -> "ModelReport":
    """Return the comparison of one configuration of many: an error in it is its own, and the others are compared."""
    from tightrope.verify import parity as library

    try:
        return library.compare_source(name, *arguments, **options)
    except Exception as error:  # whatever it is, it has its line, and the exit status says so
        return library.ModelReport(name, {}, (), (), error=f"the comparison failed: {in_a_line(error)}")
