r"""Keys and values over a stream, layer by layer: a header with the record, then arrays of stated size.

b"TRKEYS1\n", 8 bytes of length and the record; then for each array 8 bytes of length, a JSON object (layer, part,
shape) and its bytes, little-endian, row by row; at the end a length of 0. Nothing is unpickled, and no size is believed
before it was compared with the record.
"""

import json
import math
import struct
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.identity.key_record import DTYPE_BYTES, KeyRecord
from tightrope.rope.support.validation import is_whole

MAGIC: Final = b"TRKEYS1\n"
LONGEST_RECORD: Final = 2**26
WIDEST_HEAD: Final = 2**20
_LONGEST_HEADER: Final = 2**10


class Part(NamedTuple):
    """One array of a stream: bfloat16 as the uint16 of its bits."""

    layer: int
    part: str
    array: NDArray[Any]


def write_stream(file: IO[bytes], record: KeyRecord, parts: Iterable[tuple[int, str, NDArray[Any]]]) -> None:
    """Write a record, and the arrays as they come: (layer, "keys" or "values", array); bfloat16 as uint16."""
    text = record.to_json().encode()
    file.write(MAGIC + struct.pack("<Q", len(text)) + text)
    for layer, part, given in parts:
        array = _checked(given, record.dtype)
        header = json.dumps({"layer": layer, "part": part, "shape": list(array.shape)}).encode()
        _size(record, json.loads(header))
        file.write(struct.pack("<Q", len(header)) + header)
        file.write(np.ascontiguousarray(array).tobytes())
    file.write(struct.pack("<Q", 0))
    file.flush()


def _checked(given: Any, dtype: str) -> NDArray[Any]:
    """Return an array of the bytes that a stream holds, little-endian."""
    array, raw = np.asarray(given), np.dtype(_raw(dtype))
    if array.dtype.newbyteorder("=") != raw.newbyteorder("="):
        raise RopeConfigError(
            f"an array must be of {raw.name} where the record's dtype is {dtype!r}, got {array.dtype}"
        )
    return array.astype(raw, copy=False)


def read_record(file: IO[bytes]) -> KeyRecord:
    """Return the record that a stream begins with.

    Raises:
        RopeConfigError: It is no such stream, or it ends too early.
    """
    if (magic := _exactly(file, len(MAGIC))) != MAGIC:
        raise RopeConfigError(f"a stream of keys must begin with {MAGIC!r}, got {magic!r}")
    return KeyRecord.from_json(_exactly(file, _length(file, "the record", LONGEST_RECORD)))


def read_parts(file: IO[bytes], record: KeyRecord) -> Iterator[Part]:
    """Yield the arrays that follow a record; each is checked against it before its bytes are read.

    Raises:
        RopeConfigError: A size contradicts the record, an array comes twice, or the stream ends too early.
    """
    seen = set()
    while length := _length(file, "a header", _LONGEST_HEADER):
        try:
            header = json.loads(_exactly(file, length))
        except ValueError as error:
            raise RopeConfigError(f"the header of an array must be JSON: {error}") from error
        size = _size(record, header)
        if (place := (header["layer"], header["part"])) in seen:
            raise RopeConfigError(f"{place[1]} of layer {place[0]} must come once, got them twice")
        seen.add(place)
        array = np.frombuffer(_exactly(file, size), _raw(record.dtype)).reshape(header["shape"])
        yield Part(*place, array)


def _size(record: KeyRecord, header: Any) -> int:
    """Return the bytes of an array, after a check of its header against the record."""
    if not isinstance(header, dict) or header.keys() != {"layer", "part", "shape"}:
        raise RopeConfigError(f"the header of an array must have layer, part and shape, got {shortened(header)}")
    layer, shape = header["layer"], header["shape"]
    if not is_whole(layer) or not 0 <= layer < len(record.layers):
        raise RopeConfigError(f"layer must be one of the record's {len(record.layers)}, got {shortened(layer)}")
    if header["part"] not in ("keys", "values"):
        raise RopeConfigError(f"part must be 'keys' or 'values', got {shortened(header['part'])}")
    axis = record.order.index("s" if "s" in record.order else "t")
    right = isinstance(shape, list) and len(shape) == len(record.order) and all(map(is_whole, shape))
    tokens = shape[axis] if right and record.holds(layer, shape[axis]) else record.count
    by_order = {"bhsd": (1, record.kv_heads, tokens), "bshd": (1, tokens, record.kv_heads)}
    wanted = by_order.get(record.order, (tokens, record.kv_heads))
    if not right or tuple(shape[:-1]) != wanted or not 0 <= shape[-1] <= WIDEST_HEAD:
        raise RopeConfigError(f"shape must be {[*wanted, 'width']} by the record, got {shortened(shape)}")
    return math.prod(shape) * DTYPE_BYTES[record.dtype]


def _raw(dtype: str) -> str:
    return {"float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}[dtype]


def _length(file: IO[bytes], name: str, limit: int) -> int:
    length: int = struct.unpack("<Q", _exactly(file, 8))[0]
    if length > limit:
        raise RopeConfigError(f"{name} must be at most {limit} bytes long, got {length}")
    return length


def _exactly(file: IO[bytes], size: int) -> bytes:
    """Return so many bytes, in pieces: a stream that lies about its size costs no memory that it does not fill."""
    pieces, left = [], size
    while left:
        piece = file.read(min(left, 2**24))
        if not piece:
            raise RopeConfigError(f"the stream of keys is cut off: {left} of {size} bytes are missing")
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
