"""What goes through the pipe to llama.cpp's process and back: a JSON object and float32 or int32 arrays."""

import io
import json
import struct
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<Q")


def send(pipe: IO[bytes], words: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write one message."""
    body = io.BytesIO()
    np.savez(body, allow_pickle=False, words=np.frombuffer(json.dumps(words).encode(), np.uint8), **arrays)
    pipe.write(_LENGTH.pack(body.tell()))
    pipe.write(body.getbuffer())
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the next message.

    Raises:
        EOFError: The other side has ended.
    """
    (size,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    with np.load(io.BytesIO(_exactly(pipe, size)), allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files}
    words: dict[str, Any] = json.loads(arrays.pop("words").tobytes())
    return words, arrays


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    content = pipe.read(size)
    if len(content) < size:
        raise EOFError
    return content
