"""`tightrope parity`."""

import time
from typing import Any

import click

from tightrope.commands.common import as_json, backends_option, console, examples, rope_options, with_progress, write

_DTYPES = ("float32", "bfloat16", "float16")


@click.command(
    epilog=examples(
        "tightrope parity",
        "tightrope parity path/to/config.json --backends torch:cpu,mlx:cpu",
        'tightrope parity path/to/config.json --rope \'{"rope_type": "yarn", "factor": 4.0}\'',
    )
)
@click.argument("configs", nargs=-1, metavar="[CONFIG]...")
@backends_option
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(_DTYPES), help="Of q and k; may be repeated.")
@click.option("--max-position", type=click.IntRange(min=16), metavar="TOKENS", help="Longest context to compare at.")
@rope_options
@click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write every figure there (-: print it).")
@click.option("--junit", "junit_file", type=click.Path(), metavar="FILE", help="Write a JUnit report there.")
@click.option("-q", "--quiet", is_flag=True, help="Print the summary alone, and what went wrong.")
@click.pass_context
def parity(
    ctx: click.Context, configs: tuple[str, ...], wanted: list[str], dtypes: tuple[Any, ...], max_position: int | None,
    block: dict[str, Any] | None, layer_type: str | None, json_file: str | None, junit_file: str | None, quiet: bool,
) -> None:  # fmt: skip
    """Prove that the backends rotate alike.

    Every backend is compared with exact arithmetic and with the others: frequencies, angles, rotation and gradient.
    CONFIG is a config.json, a folder that has one, or a folder of *.json; none: a built-in gallery of models.
    """
    from tightrope.backends import parity as library
    from tightrope.rope.reading.validating import find_sources

    if block and not configs:
        raise click.UsageError("--rope needs a CONFIG")
    started = time.monotonic()
    subjects, absent = library.choose(wanted)
    sources = list(find_sources(configs) if configs else library.GALLERY.items())
    shown_on = console(stderr=json_file == "-")
    if not quiet:
        library.print_backends(shown_on, subjects, absent)
    options: dict[str, Any] = {"block": block, "layer_type": layer_type, "max_position": max_position}
    models = []
    for name, source in with_progress(sources, "comparing", shown_on):
        models.append(library.compare_source(name, source, subjects, dtypes=dtypes or _DTYPES, **options))
        if not quiet or models[-1].verdict in ("disagree", "unreadable"):
            library.print_model(shown_on, models[-1], [one.name for one in subjects])
    report = library.summarise(subjects, absent, models)
    library.print_summary(shown_on, report, time.monotonic() - started)
    if json_file:
        write(json_file, as_json(report.to_dict()))
    if junit_file:
        write(junit_file, library.junit(models))
    ctx.exit(0 if report.agrees else 1)
