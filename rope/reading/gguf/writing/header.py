"""The header of a GGUF file: keys and small float32 tensors, as bytes."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from tightrope.rope.reading.gguf.header import MAGIC

_VERSION: Final = 3
_ALIGNMENT: Final = 32
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9


def header_bytes(
    architecture: str,
    keys: Mapping[str, Any],
    tensors: Mapping[str, Sequence[float]] | None = None,
    others: Mapping[str, Any] | None = None,
) -> bytes:
    """Return a GGUF file of version 3 without weights.

    Whole numbers are written as uint32 (int32 below zero), other numbers as float32, lists as lists of one type.

    Args:
        architecture: general.architecture.
        keys: The architecture's keys without its name in front.
        tensors: float32 tensors of one dimension by name, such as rope_freqs.
        others: Keys of no architecture.
    """
    written = {"general.architecture": architecture, **(others or {})}
    written |= {f"{architecture}.{key}": value for key, value in keys.items()}
    arrays = {f"{name}.weight": np.asarray(values, "<f4") for name, values in (tensors or {}).items()}
    places, data = b"", b""
    for name, values in arrays.items():
        places += _string(name) + struct.pack("<IQIQ", 1, len(values), 0, len(data))
        data += _padded(values.tobytes())
    start = MAGIC + struct.pack("<IQQ", _VERSION, len(arrays), len(written))
    entries = b"".join(_string(key) + _value(value) for key, value in written.items())
    return _padded(start + entries + places) + data


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _ALIGNMENT)


def _string(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def _value(value: Any) -> bytes:
    if isinstance(value, list | tuple):
        items = [_typed(item) for item in value]
        kind, letter = (_FLOAT32, "f") if any(kind == _FLOAT32 for kind, _ in items) else _one_type(items)
        body = struct.pack(f"<{len(items)}{letter}", *value)
        return struct.pack("<IIQ", _ARRAY, kind, len(items)) + body
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    kind, letter = _typed(value)
    return struct.pack(f"<I{letter}", kind, value)


def _one_type(items: Sequence[tuple[int, str]]) -> tuple[int, str]:
    kinds = dict(items)
    return (_BOOL, "?") if set(kinds) == {_BOOL} else (_INT32, "i") if _INT32 in kinds else (_UINT32, "I")


def _typed(value: Any) -> tuple[int, str]:
    if isinstance(value, bool):
        return _BOOL, "?"
    if isinstance(value, int):
        return (_INT32, "i") if value < 0 else (_UINT32, "I")
    return _FLOAT32, "f"
