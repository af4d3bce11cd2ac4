"""The golden file: safetensors, with its story in the header. Everything is checked before it is believed.

The digest finds what was damaged or edited; it is no signature: whoever rewrites the file can rewrite the digest too.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.support.extras import import_extra, source_folder
from tightrope.rope.support.files import why, write_atomically

Arrays = Mapping[str, NDArray[Any]]

FORMAT: Final = "tightrope-golden"
VERSION: Final = 1
MAX_FILE: Final = 256 << 20
MAX_HEADER: Final = 4 << 20
_PREFIX: Final = 8  # bytes that say how long the header is
_WIDTHS: Final = {"F64": 8, "U64": 8, "F32": 4, "F16": 2, "U16": 2}
_MOST_AXES: Final = 4
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a golden file comes from.

    Attributes:
        source: Name of the configuration.
        configuration: The fragment of a config.json that reads as the same ropes.
        backend: Name and device: `"torch:cuda:0"`.
        path: Which code rotated.
        framework: Its version.
        tightrope: Version of Tightrope.
        python: Version of Python.
        numpy: Version of numpy.
        machine: System and processor.
    """

    source: str
    configuration: dict[str, Any]
    backend: str
    path: str
    framework: str
    tightrope: str
    python: str
    numpy: str
    machine: str


def write(path: Path, story: Provenance, arrays: Arrays) -> None:
    """Write a golden file, whole or not at all.

    Raises:
        ExtraMissing: The package safetensors is not installed.
    """
    numpy_format = import_extra("safetensors.numpy", purpose="golden files")
    told = json.dumps(asdict(story), sort_keys=True)
    metadata = {"format": FORMAT, "version": str(VERSION), "story": told, "sha256": _digest(told, arrays)}
    # Without the copy safetensors 0.8 writes the memory of a transposed array, not its values in order.
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(path, numpy_format.save(whole, metadata=metadata))


def load(path: Path) -> tuple[Provenance, Arrays]:
    """Read a golden file.

    Raises:
        ExtraMissing: The package safetensors is not installed.
        RopeConfigError: It is damaged, edited, of a newer format, or something else.
    """
    import_extra("safetensors.numpy", purpose="golden files")
    try:
        content = _read(path)
        told, digest = _metadata(content)
        arrays = _arrays(content)
        if _digest(told, arrays) != digest:
            raise _Refused("does not match its sha256: it was damaged or edited; write it again")
        return _story(told), arrays
    except OSError as error:
        raise RopeConfigError(f"cannot be read: {why(error)}", source=str(path)) from error
    except _Refused as error:
        raise RopeConfigError(str(error), source=str(path)) from error


class _Refused(Exception):  # noqa: N818  # never leaves this module
    """Why a file is not believed."""


def _read(path: Path) -> bytes:
    size = path.stat().st_size
    if not path.is_file():
        raise _Refused("is not a file")
    if size > MAX_FILE:
        raise _Refused(f"is larger than any golden file ({size:,} bytes; the limit is {MAX_FILE:,})")
    return path.read_bytes()


def _metadata(content: bytes) -> tuple[str, str]:
    """Return story and digest, once format, version and every size have proved right."""
    end = _PREFIX + int.from_bytes(content[:_PREFIX], "little")
    if len(content) < _PREFIX or end - _PREFIX > MAX_HEADER:
        raise _Refused("is no safetensors file: its first 8 bytes do not give the length of a header")
    if end > len(content):
        raise _Refused(f"is cut off: {len(content):,} bytes, but its header alone ends at {end:,}")
    header = _object(content[_PREFIX:end], "is no safetensors file: its header")
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise _Refused("is a safetensors file, but not one that `tightrope golden write` wrote")
    _require_version(metadata.get("version"))
    _require_sizes(header, len(content) - end)
    story, digest = metadata.get("story"), metadata.get("sha256")
    if not isinstance(story, str) or not isinstance(digest, str):
        raise _Refused("has no story or no sha256 in its header: it was edited; write it again")
    return story, digest


def _object(text: bytes | str, which: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Refused(f"{which} is not JSON") from error
    if not isinstance(value, dict):
        raise _Refused(f"{which} is not an object")
    return value


def _require_version(version: object) -> None:
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise _Refused(f"has no format version: its header says {shortened(version)}")
    if int(version) > VERSION:
        raise _Refused(
            f"has format {version}, this Tightrope reads up to {VERSION}; "
            f"bring {source_folder()} up to date and install it again"
        )


def _require_sizes(header: dict[str, Any], available: int) -> None:
    """Check that dtypes and shapes account for every byte, before an array is made."""
    expected = 0
    for name, entry in header.items():
        dtype = entry.get("dtype") if isinstance(entry, dict) else None
        if not isinstance(dtype, str) or dtype not in _WIDTHS or not _is_shape(entry.get("shape")):
            raise _Refused(f"array {shortened(name)} has a dtype or a shape that no golden file has")
        expected += _WIDTHS[dtype] * math.prod(entry["shape"])
    if expected != available:
        raise _Refused(f"is cut off or padded: its arrays need {expected:,} bytes, it has {available:,}")


def _is_shape(value: object) -> bool:
    if not isinstance(value, list) or len(value) > _MOST_AXES:
        return False
    return all(type(size) is int and 0 <= size <= MAX_FILE for size in value)


def _arrays(content: bytes) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(content)
    except SafetensorError as error:
        raise _Refused(f"is no golden file: {error}") from error


def _digest(told: str, arrays: Arrays) -> str:
    digest = hashlib.sha256(told.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _story(told: str) -> Provenance:
    story = _object(told, "its story")
    expected = {item.name: dict if item.name == "configuration" else str for item in fields(Provenance)}
    if set(story) != set(expected) or any(not isinstance(story[name], kind) for name, kind in expected.items()):
        raise _Refused(f"its story must hold {', '.join(expected)}")
    return Provenance(**story)
