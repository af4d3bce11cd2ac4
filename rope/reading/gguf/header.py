"""The header of a GGUF file: its keys, and where its tensors lie, in one walk over the mapped file.

The reader of the `gguf` package makes numpy arrays of every entry of every list, 17 s for a vocabulary of 152,000
tokens; here what has no part in the rotation is stepped over by its size. Nothing is believed: whatever would end
beyond the file is refused, and so is what no model has (`MOST_KEYS` and the bounds beside it), so that reading takes
time in proportion to a header of bounded length, whatever a sparse file claims.

Source: docs/gguf.md of ggml, versions 2 and 3.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from mmap import mmap
from typing import Any

import numpy as np

from tightrope.rope.errors import RopeConfigError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
FETCH_AGAIN = "it is cut off or damaged; fetch the file again"

# The letters of `struct`, by the number of the value type.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9

# Lists about layers are far shorter, vocabularies longer.
_LONGEST_LIST = 4096
_MOST_DIMENSIONS = 4

# What a header may hold. Published ones have some 60 keys, 3,000 tensors and 1.1 million strings in all.
MOST_KEYS = 2**16
MOST_TENSORS = 2**18
MOST_STRINGS = 2**22
LONGEST_NAME = 2**16 - 1  # gguf.md
# A longer text, such as a picture within a key, is stepped over.
_LONGEST_TEXT = 2**20

# The fewest bytes of a key with its value (length, type, a byte), and of a tensor (length, dimensions, type, offset).
_KEY_BYTES = 8 + 4 + 1
_TENSOR_BYTES = 8 + 4 + 4 + 8


@dataclass(frozen=True)
class Skipped:
    """A list that was stepped over: how many values, and of what kind."""

    count: int
    kind: str

    def __repr__(self) -> str:
        return f"a list of {self.count:,} {self.kind}"


@dataclass(frozen=True)
class TensorLocation:
    """Where a tensor lies.

    Attributes:
        type: ggml's number of its type; 0 is float32.
        count: How many values.
        offset: Bytes after the start of the data.
    """

    type: int
    count: int
    offset: int


@dataclass(frozen=True)
class Header:
    """Everything before the data.

    Attributes:
        values: Every key; lists of strings and long lists are `Skipped`.
        tensors: By name.
        order: `"<"` or `">"`: the byte order of the file.
        end: Where the header ends.
    """

    values: dict[str, Any]
    tensors: dict[str, TensorLocation]
    order: str
    end: int


def read_header(data: mmap) -> Header:
    """Return the header of a mapped file that begins with `MAGIC`.

    Raises:
        RopeConfigError: It is of another version, cut off or damaged.
    """
    walk = _Walk(data, _byte_order(data))
    tensor_count = walk.count("tensor_count", _TENSOR_BYTES, MOST_TENSORS)
    key_count = walk.count("metadata_kv_count", _KEY_BYTES, MOST_KEYS)
    values: dict[str, Any] = {}
    for index in range(key_count):
        _add(values, walk.name(f"key {index}"), walk.value)
    tensors: dict[str, TensorLocation] = {}
    for index in range(tensor_count):
        _add(tensors, walk.name(f"the name of tensor {index}"), walk.place)
    return Header(values, tensors, walk.order, walk.at)


def _add(found: dict[str, Any], name: str, following: Callable[[str], Any]) -> None:
    value = following(name)
    if name in found:
        raise RopeConfigError(f"{name!r} stands twice in the header; {FETCH_AGAIN}")
    found[name] = value


def _byte_order(data: mmap) -> str:
    start = data[len(MAGIC) : len(MAGIC) + 4]
    for order in "<>":
        if len(start) == 4 and struct.unpack(f"{order}I", start)[0] in VERSIONS:
            return order
    version = int.from_bytes(start, "little")
    raise RopeConfigError(f"version must be 2 or 3, got {version}; convert the model again with today's llama.cpp")


class _Walk:
    """A place in the file that moves past what it reads."""

    def __init__(self, data: mmap, order: str) -> None:
        self.data, self.order = data, order
        self.at = len(MAGIC) + 4
        self.strings = 0

    def bytes(self, size: int, what: str) -> bytes:
        """Return the next bytes."""
        self._check(size, what)
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, letter: str, what: str) -> Any:
        """Return the next number, of a type of `struct`; a float32 as the decimal that was written, 0.1."""
        value = struct.unpack(self.order + letter, self.bytes(struct.calcsize("<" + letter), what))[0]
        return float(str(np.float32(value))) if letter == "f" else value

    def count(self, what: str, least: int, most: int | None = None) -> int:
        """Return the next count, of things of at least so many bytes."""
        count: int = self.number("Q", what)
        if count > (len(self.data) - self.at) // least:
            raise RopeConfigError(f"{what} says {count:,}, more than the rest of the file can hold; {FETCH_AGAIN}")
        if most is not None and count > most:
            raise RopeConfigError(f"{what} must be <= {most:,}, got {count:,}; {FETCH_AGAIN}")
        return count

    def name(self, what: str) -> str:
        """Return the next name; what is not UTF-8 is replaced, since no name that matters is anything else."""
        size = self.number("Q", what)
        self._check(size, what)
        if size > LONGEST_NAME:
            raise RopeConfigError(f"{what} must have at most {LONGEST_NAME:,} bytes, got {size:,}; {FETCH_AGAIN}")
        return self.bytes(size, what).decode("utf-8", "replace")

    def text(self, key: str) -> "str | Skipped":
        """Return the next string; one that no key about positions has is stepped over."""
        size = self.number("Q", key)
        self._check(size, key)
        if size > _LONGEST_TEXT:
            self.at += size
            return Skipped(size, "bytes of text")
        return self.bytes(size, key).decode("utf-8", "replace")

    def value(self, key: str) -> Any:
        """Return the next value: its type, then itself."""
        kind = self.number("I", key)
        if kind == _STRING:
            return self.text(key)
        return self._list(key) if kind == _ARRAY else self.number(self._letter(kind, key), key)

    def place(self, name: str) -> TensorLocation:
        """Return what follows the name of a tensor."""
        what = f"tensor {name!r}"
        dimensions = self.number("I", what)
        if dimensions > _MOST_DIMENSIONS:
            raise RopeConfigError(f"{what} must have at most 4 dimensions, got {dimensions:,}; {FETCH_AGAIN}")
        count = math.prod(self.number("Q", what) for _ in range(dimensions))
        return TensorLocation(type=self.number("I", what), count=count, offset=self.number("Q", what))

    def _list(self, key: str) -> list[Any] | Skipped:
        kind = self.number("I", key)
        if kind == _STRING:
            count = self.count(key, 8)
            self._pass_strings(count, key)
            return Skipped(count, "strings")
        letter = self._letter(kind, key)
        size = struct.calcsize("<" + letter)
        count = self.count(key, size)
        if count > _LONGEST_LIST:
            self.at += count * size
            return Skipped(count, "numbers")
        return list(struct.unpack(f"{self.order}{count}{letter}", self.bytes(count * size, key)))

    def _pass_strings(self, count: int, key: str) -> None:
        self.strings += count
        if self.strings > MOST_STRINGS:
            raise RopeConfigError(
                f"{key} holds {count:,} strings; a header may have {MOST_STRINGS:,} in all; {FETCH_AGAIN}"
            )
        length, at, end = struct.Struct(f"{self.order}Q").unpack_from, self.at, len(self.data) - 8
        for _ in range(count):
            if at > end:
                self._check(at + 8 - self.at, key)
            at += 8 + length(self.data, at)[0]
        self._check(at - self.at, key)
        self.at = at

    def _letter(self, kind: int, key: str) -> str:
        if kind == _ARRAY:
            raise RopeConfigError(f"{key} holds lists within a list, which llama.cpp does not read; write it flat")
        if kind not in _NUMBERS:
            raise RopeConfigError(f"{key} must have a value type from 0 to 12, got {kind:,}; {FETCH_AGAIN}")
        return _NUMBERS[kind]

    def _check(self, size: int, what: str) -> None:
        if size > len(self.data) - self.at:
            raise RopeConfigError(
                f"{what} takes {size:,} bytes at byte {self.at:,} and the file has {len(self.data):,}; {FETCH_AGAIN}"
            )
