"""The command line: each command parses, calls a library function, prints.

Exit status: 0 fine, 1 disagreement or an input that cannot be right, 2 wrong usage.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import tightrope
from tightrope import backends
from tightrope.rope.errors import RopeError
from tightrope.rope.files import write_atomically

if TYPE_CHECKING:
    from rich.console import Console

_DTYPES = ("float32", "bfloat16", "float16")
_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Commands(click.Group):
    """Commands whose domain errors become one line and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RopeError as error:
            if ctx.params["traceback"]:
                raise
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--traceback", is_flag=True, help="Show where an error comes from.")
@click.version_option(tightrope.__version__, prog_name="tightrope")
def main(traceback: bool) -> None:
    """Rotary position embeddings: the same on PyTorch and MLX, and the proof of it."""
    _ = traceback  # read by _Commands


def _json_object(ctx: click.Context, option: click.Parameter, value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        block = json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}") from error
    if not isinstance(block, dict):
        raise click.BadParameter("must be a JSON object")
    return block


def _rope_options(command: _Command) -> _Command:
    """Add --rope and --layer-type."""
    command = click.option(
        "--rope", "block", metavar="JSON", callback=_json_object,
        help="""Use this rope instead of the configuration's: '{"rope_type": "yarn", "factor": 4.0}'.""",
    )(command)  # fmt: skip
    return click.option("--layer-type", metavar="NAME", help="Which rope that replaces, if several.")(command)


def _backend_names(ctx: click.Context, option: click.Parameter, value: str | None) -> list[str]:
    wanted = [one.strip() for one in value.split(",")] if value else []
    for one in wanted:
        if one.partition(":")[0] not in backends.names():
            raise click.BadParameter(f"{one!r} is none of {', '.join(backends.names())}, each with or without :device")
    return wanted


@main.command()
@click.argument("configs", nargs=-1, metavar="[CONFIG]...")
@click.option("--backends", "wanted", metavar="NAMES", callback=_backend_names, help="Such as torch:cpu,mlx:cpu.")
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(_DTYPES), help="Of q and k; may be repeated.")
@click.option("--max-position", type=click.IntRange(min=16), metavar="TOKENS", help="Longest context to compare at.")
@_rope_options
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

    if block and not configs:
        raise click.UsageError("--rope needs a CONFIG")
    started = time.monotonic()
    subjects, absent = library.choose(wanted)
    sources = list(library.find_sources(configs) if configs else library.GALLERY.items())
    console = _console(stderr=json_file == "-")
    if not quiet:
        library.print_backends(console, subjects, absent)
    models = []
    for name, source in _with_progress(sources, console):
        models.append(
            library.compare_source(
                name,
                source,
                subjects,
                block=block,
                layer_type=layer_type,
                max_position=max_position,
                dtypes=dtypes or library.DTYPES,
            )
        )
        if not quiet or models[-1].verdict != "agree":
            library.print_model(console, models[-1], [one.name for one in subjects])
    report = library.summarise(subjects, absent, models)
    library.print_summary(console, report, time.monotonic() - started)
    if json_file:
        _write(json_file, json.dumps(report.to_dict(), indent=1).encode() + b"\n")
    if junit_file:
        _write(junit_file, library.junit(models))
    ctx.exit(0 if report.agrees else 1)


def _console(*, stderr: bool = False) -> "Console":
    """Return where to print; what goes into a file or a pipe is not cut to a terminal's width."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 200
    return console


_Item = TypeVar("_Item")


def _with_progress(items: Sequence[_Item], console: "Console") -> Iterator[_Item]:
    """Yield the items; where there are several and a person looks on, show how far we are."""
    from rich.progress import track

    seen_on = console if console.is_terminal else _console(stderr=True)
    hidden = len(items) < 2 or not seen_on.is_terminal
    yield from track(items, "comparing", console=seen_on, transient=True, disable=hidden)


def _write(path: str, content: bytes) -> None:
    """Write a file whole or not at all; `-` is standard output."""
    if path == "-":
        click.echo(content, nl=False)
        return
    try:
        write_atomically(Path(path), content)
    except OSError as error:
        raise click.FileError(path, error.strerror or str(error)) from error
