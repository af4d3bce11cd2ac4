"""What several commands share: options, reading, backends; what they say is in `output`."""

import json
import os
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click
from click.shell_completion import CompletionItem

from tightrope import backends
from tightrope.rope.errors import RopeWarning
from tightrope.rope.reading.hub import is_hub_id
from tightrope.rope.reading.source import Loaded, kept

if TYPE_CHECKING:
    from tightrope.commands.shared.output import Output
    from tightrope.rope.config.model import ModelRope
    from tightrope.rope.reading.huggingface.towers import Tower
    from tightrope.verify.parity import OnDevice

Source: TypeAlias = str | Loaded
"""A configuration that a command was given."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


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


def rope_option(command: _Command) -> _Command:
    """Add --rope: `block`, a rope block that replaces the configuration's own."""
    return click.option(
        "--rope", "block", metavar="JSON", callback=_json_object,
        help="""Use this rope block instead: '{"rope_type": "yarn", "factor": 4.0}'.""",
    )(command)  # fmt: skip


def rope_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --rope, see `rope_option`, and --layer-type, which says which rope it replaces."""

    @click.option("--layer-type", metavar="NAME", help="Which rope --rope replaces, if there are several.")
    @rope_option
    @wraps(command)
    def with_rope(*args: Any, block: dict[str, Any] | None, layer_type: str | None, **options: Any) -> Any:
        if layer_type is not None and block is None:
            raise click.UsageError("--layer-type needs --rope")
        return command(*args, block=block, layer_type=layer_type, **options)

    return with_rope


def _backend_names(ctx: click.Context, option: click.Parameter, value: str | None) -> list[str]:
    wanted = [one.strip() for one in value.split(",")] if value else []
    for one in wanted:
        if one.partition(":")[0] not in backends.names():
            raise click.BadParameter(f"{one!r} is none of {', '.join(backends.names())}, each with or without :device")
    return wanted


def backends_option(command: _Command) -> _Command:
    """Add --backends: `wanted`, a list of `"torch:cpu"` and the like; empty means all."""
    return click.option(
        "--backends",
        "wanted",
        metavar="NAMES",
        callback=_backend_names,
        help="Such as torch:cpu,mlx:cpu (default: all).",
    )(command)


def read_model(
    source: object, block: dict[str, Any] | None, layer_type: str | None, tower: "Tower | None" = None
) -> "ModelRope":
    """Return the ropes of a configuration, or of its tower, with one of them replaced by a rope block."""
    from tightrope.rope.reading import read

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RopeWarning)  # the notes say the same
        model = read(source, tower=tower)
    return model if block is None else model.replace(layer_type, scaling=block)


class SourceType(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on, not at run time before
    """Whatever `read` takes; what can be read but once is read at once: commands ask for it more than once."""

    name = "source"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """See `kept`."""
        return kept(value) if isinstance(value, str) else value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Let the shell complete paths."""
        return [CompletionItem(incomplete, type="file")]


def source_argument(*, required: bool = True) -> Callable[[_Command], _Command]:
    """Return the argument SOURCE: `source`."""
    return click.argument("source", required=required, type=SourceType())


def sources_argument(*, required: bool = True, metavar: str = "SOURCE...") -> Callable[[_Command], _Command]:
    """Return the argument SOURCE...: `sources`."""
    return click.argument("sources", nargs=-1, required=required, metavar=metavar, type=SourceType())


def name_of(source: Source | Path) -> str:
    """Return the short name of a configuration: its file's, or its folder's where the file is called config.json."""
    if isinstance(source, Loaded):
        return source.name
    path = Path(source)
    if is_hub_id(str(source)) and not path.exists():
        return str(source)
    path = Path(os.path.abspath(path))  # links keep their own names: those of the hub's cache lead to checksums
    return path.parent.name if path.name == "config.json" else path.name if path.is_dir() else path.stem


def choose(out: "Output", wanted: list[str]) -> "tuple[list[OnDevice], list[str]]":
    """Return the backends that take part, and why others do not; frameworks are slow to import."""
    from tightrope.verify import parity

    with out.busy("loading backends"):
        return parity.choose(wanted)


def examples(*lines: str) -> str:
    """Return command lines as the end of a help text."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])  # \b: click leaves the lines as they are
