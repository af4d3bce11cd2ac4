"""From whatever a person points at to one JSON object, and the name to call it by."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tightrope.rope.errors import RopeConfigError
from tightrope.rope.reading.gguf.header import MAGIC
from tightrope.rope.reading.hub import fetch_config, is_hub_id
from tightrope.rope.reading.plain import plain
from tightrope.rope.support.files import why

# The largest published config.json is some 100 kB; a weight file handed over by mistake is refused before it is read.
MAX_BYTES = 16 * 2**20

# What a model folder holds: Hugging Face's and MLX's have the first, Meta's and Mistral's own the second.
FILE_NAMES = ("config.json", "params.json")

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Loaded:
    """A configuration that was read before, and the name by which messages call it."""

    values: Mapping[str, Any]
    name: str

    def __str__(self) -> str:
        return self.name


def kept(source: str) -> str | Loaded:
    """Return a path as it is; what can be read but once (`-`: standard input, a pipe), read.

    Raises:
        RopeConfigError: It is not one JSON object, or the path is empty.
    """
    _require_named(source)
    path = Path(source)
    try:
        once = source == STANDARD_INPUT or (path.exists() and not path.is_dir() and not path.is_file())
    except (OSError, ValueError):  # ValueError: a NUL character in the name
        return source
    if not once:
        return source
    if source != STANDARD_INPUT:
        return Loaded(_parse(path), source)
    name = "standard input"
    if sys.stdin is None:
        raise RopeConfigError("is closed; pipe a config.json into it, or give its path", source=name)
    return Loaded(_parsed(sys.stdin.buffer, name), name)


def load(source: object) -> tuple[dict[str, Any], str | None]:
    """Return the configuration as a JSON object, and its name for messages (None for a dict).

    Args:
        source: A path of a JSON file or of a folder that holds config.json, a mapping, an object with `to_dict()`
            such as a transformers configuration, the name of a model on the Hugging Face hub, or what `kept` returned.

    Raises:
        RopeConfigError: There is nothing to read, or it is not one JSON object.
    """
    if isinstance(source, Mapping):
        return plain(source), None
    if isinstance(source, Loaded):
        return dict(source.values), source.name
    if isinstance(source, str | os.PathLike):
        if gguf_path(source) is not None:
            raise RopeConfigError("is a GGUF file; give a config.json here, or its folder", source=os.fspath(source))
        path = _file(_local(source))
        return _parse(path), str(path)
    if callable(getattr(source, "to_dict", None)):
        return _from_object(source), type(source).__name__
    raise RopeConfigError(
        f"source must be a path, a dict or a configuration object, got {type(source).__name__}; "
        "give the path of a config.json or of its folder"
    )


def gguf_path(source: object) -> Path | None:
    """Return the path where the source is a GGUF file; None for everything else.

    By its name, or by its first bytes where the name says nothing (Ollama names files by their checksum).
    """
    if not isinstance(source, str | os.PathLike):
        return None
    path = Path(os.fspath(source))
    if path.suffix.lower() == ".gguf":
        return None if path.is_dir() else path
    return path if path.suffix.lower() != ".json" and _begins_as_gguf(path) else None


def _begins_as_gguf(path: Path) -> bool:
    try:
        if not path.is_file():  # a pipe would lose the bytes that are read here
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):  # ValueError: a NUL character in the name
        return False


def _require_named(source: str | os.PathLike[str]) -> None:
    """Raise for an empty path: a shell's variable that was never set; to pathlib it is the current folder."""
    if source == "":
        raise RopeConfigError("source must not be empty; give . for this folder")


def _local(source: str | os.PathLike[str]) -> Path:
    """Return the path; a model of the hub is fetched where there is no such path."""
    _require_named(source)
    path = Path(os.fspath(source))
    if isinstance(source, str) and source.startswith(("https://", "http://")):
        raise RopeConfigError(
            "is an address, not a path; give 'org/name' of a model on the Hugging Face hub, or fetch the file yourself",
            source=source,
        )
    if isinstance(source, str) and is_hub_id(source) and not path.exists():
        return fetch_config(source)
    return path


def _from_object(source: Any) -> dict[str, Any]:
    """Return its `to_dict()`; the class name says what it is where there is no model_type."""
    config = source.to_dict()
    if not isinstance(config, Mapping):
        raise RopeConfigError(f"{type(source).__name__}.to_dict() must return a dict, got {type(config).__name__}")
    config = plain(config, type(source).__name__)
    if not config.get("model_type"):
        config["model_type"] = type(source).__name__.removesuffix("Config")
    return config


def _file(path: Path) -> Path:
    try:
        if path.is_dir():
            path = next((path / name for name in FILE_NAMES if (path / name).is_file()), path / FILE_NAMES[0])
        size = path.stat().st_size  # from Python 3.14 on, exists() is False also for a path that is too long
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RopeConfigError(f"no such file; give the path of {_instead(path)}", source=str(path)) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise RopeConfigError(f"cannot be opened: {why(error)}", source=str(path)) from error
    if size > MAX_BYTES:
        raise _too_large(f"{size:,}", str(path))
    return path


def _too_large(size: str, name: str) -> RopeConfigError:
    return RopeConfigError(
        f"{size} bytes is no configuration (limit {MAX_BYTES:,}); give the config.json beside it", source=name
    )


def _instead(path: Path) -> str:
    """Return what to give in place of a file that is not there; a folder may hold a model as GGUF alone."""
    beside = sorted(path.parent.glob("*.gguf")) if path.name in FILE_NAMES else []
    return str(beside[0]) if beside else "a config.json or of its folder"


def _parse(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return _parsed(file, str(path))
    except OSError as error:
        raise RopeConfigError(f"cannot be read: {why(error)}", source=str(path)) from error


def _parsed(file: IO[bytes], name: str) -> dict[str, Any]:
    """Return the JSON object in a file; of a pipe, which has no size, no more than the limit is read."""
    content = file.read(MAX_BYTES + 1)
    if content.startswith(MAGIC):
        raise RopeConfigError(
            "is a GGUF file, which is read neither from a pipe nor under a name in .json; give its path", source=name
        )
    if len(content) > MAX_BYTES:
        raise _too_large(f"more than {MAX_BYTES:,}", name)
    try:
        config = json.loads(content.decode("utf-8-sig"))
    # ValueError: bad JSON, bad UTF-8, an integer of thousands of digits; RecursionError: a thousand nested brackets.
    except (ValueError, RecursionError) as error:
        raise RopeConfigError(f"is not JSON: {error}", source=name) from error
    if not isinstance(config, dict):
        raise RopeConfigError(f"must hold a JSON object, got {_json_name(config)}", source=name)
    return plain(config, name)


def _json_name(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
