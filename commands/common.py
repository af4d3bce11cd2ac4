"""What several commands share: options, the console, files."""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tightrope import backends
from tightrope.rope.errors import RopeWarning
from tightrope.rope.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

    from tightrope.rope.config import ModelRope

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Item = TypeVar("_Item")


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


def rope_options(command: _Command) -> _Command:
    """Add --rope, a rope block that replaces the configuration's own, and --layer-type."""
    command = click.option(
        "--rope", "block", metavar="JSON", callback=_json_object,
        help="""Use this rope instead: '{"rope_type": "yarn", "factor": 4.0}'.""",
    )(command)  # fmt: skip
    return click.option("--layer-type", metavar="NAME", help="Which rope --rope replaces, if several.")(command)


def _backend_names(ctx: click.Context, option: click.Parameter, value: str | None) -> list[str]:
    wanted = [one.strip() for one in value.split(",")] if value else []
    for one in wanted:
        if one.partition(":")[0] not in backends.names():
            raise click.BadParameter(f"{one!r} is none of {', '.join(backends.names())}, each with or without :device")
    return wanted


def backends_option(command: _Command) -> _Command:
    """Add --backends: `wanted`, a list of `"torch:cpu"` and the like; empty means all."""
    return click.option(
        "--backends", "wanted", metavar="NAMES", callback=_backend_names, help="Such as torch:cpu,mlx:cpu."
    )(command)


def read_model(source: object, block: dict[str, Any] | None, layer_type: str | None) -> "ModelRope":
    """Return the ropes of a configuration, with one of them replaced by a rope block."""
    from tightrope.rope.reading import read

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RopeWarning)  # the notes say the same
        model = read(source)
    return model if block is None else model.replace(layer_type, scaling=block)


def name_of(source: str) -> str:
    """Return the short name of a configuration: its file's, or its folder's where the file is called config.json."""
    path = Path(source).resolve()
    return path.parent.name if path.name == "config.json" else path.stem if path.is_file() else path.name


def console(*, stderr: bool = False) -> "Console":
    """Return where to print; what goes into a file or a pipe is not cut to a terminal's width."""
    from rich.console import Console

    found = Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True)
    if not found.is_terminal:
        found.width = 200
    return found


def with_progress(items: Sequence[_Item], doing: str, shown_on: "Console") -> Iterator[_Item]:
    """Yield the items; where there are several and a person looks on, show how far we are."""
    from rich.progress import track

    screen = shown_on if shown_on.is_terminal else console(stderr=True)
    yield from track(items, doing, console=screen, transient=True, disable=len(items) < 2 or not screen.is_terminal)


def write(path: str, content: bytes) -> None:
    """Write a file whole or not at all; `-` is standard output."""
    if path == "-":
        click.echo(content, nl=False)
        return
    try:
        write_atomically(Path(path), content)
    except OSError as error:
        raise click.FileError(path, error.strerror or str(error)) from error


def save_figure(figure: "Figure", path: str) -> None:
    """Write a picture, in the format that its name ends in."""
    from tightrope import viewing

    try:
        viewing.save(figure, path)
    except OSError as error:
        raise click.FileError(path, error.strerror or str(error)) from error


def examples(*lines: str) -> str:
    """Return command lines as the end of a help text."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])  # \b: click leaves the lines as they are


def as_json(value: Any) -> bytes:
    """Return value as indented JSON, with a line feed at its end."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
