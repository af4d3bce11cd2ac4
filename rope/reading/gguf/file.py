"""What a GGUF file says about positions: its architecture's keys and its tensors of frequency divisors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np

from tightrope.rope.errors import RopeConfigError
from tightrope.rope.reading.gguf.header import FETCH_AGAIN, MAGIC, Header, TensorLocation, read_header
from tightrope.rope.reading.section import Findings, Section
from tightrope.rope.support.files import why

TENSORS = ("rope_freqs", "rope_factors_long", "rope_factors_short")
_FLOAT32 = 0
_DEFAULT_ALIGNMENT = 32
_MOST_DIVISORS = 2**16

# As llama.cpp's gguf-split names the parts of a model, counted from 1.
_PART = re.compile(r"(?P<stem>.*)-\d{5}-of-\d{5}", re.DOTALL)


@dataclass(frozen=True)
class GgufFile:
    """What one file, or the parts of one model, say about positions.

    Attributes:
        architecture: general.architecture.
        values: The architecture's keys without its name in front, and their values.
        divisors: By name, the float32 tensors of divisors that the model has.
    """

    architecture: str
    values: dict[str, Any]
    divisors: dict[str, tuple[float, ...]]


def open_file(path: Path) -> GgufFile:
    """Return the metadata of a file; of a model in parts, the tensors of all parts.

    Raises:
        RopeConfigError: It is not a GGUF file, is cut off or damaged, or is one part and the others are missing.
    """
    values, divisors = _contents(path)
    parts = _other_parts(path, values)
    while parts and not divisors:
        divisors = _contents(parts.pop(0))[1]
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise RopeConfigError("general.architecture must be a string and is missing; the file names no architecture")
    prefix = f"{architecture}."
    own = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    return GgufFile(architecture, own, divisors)


def _contents(path: Path) -> tuple[dict[str, Any], dict[str, tuple[float, ...]]]:
    """Return a file's keys and its tensors of divisors."""
    with _mapped(path) as data:
        header = read_header(data)
        start = _data_start(header)
        places = {name: header.tensors[f"{name}.weight"] for name in TENSORS if f"{name}.weight" in header.tensors}
        divisors = {name: _divisors(name, place, data, header.order, start) for name, place in places.items()}
        return header.values, divisors


@contextmanager
def _mapped(path: Path) -> Iterator[mmap]:
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
            data = mmap(file.fileno(), 0, access=ACCESS_READ) if start == MAGIC else None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise RopeConfigError(f"{path.name} cannot be opened: {why(error)}") from error
    if data is None:
        raise RopeConfigError(f"is not a GGUF file: it must begin with {MAGIC!r}, got {start!r}")
    with data:
        yield data


def _data_start(header: Header) -> int:
    """Return where the tensors' data begin: after the header, at the next multiple of the alignment."""
    alignment = header.values.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise RopeConfigError(f"general.alignment must be a power of two, got {alignment!r}; {FETCH_AGAIN}")
    return -(-header.end // alignment) * alignment


def _divisors(name: str, place: TensorLocation, data: mmap, order: str, start: int) -> tuple[float, ...]:
    if place.type != _FLOAT32:
        raise RopeConfigError(f"tensor {name} must be float32 (type 0), got type {place.type}; convert the model again")
    if place.count > _MOST_DIVISORS:
        raise RopeConfigError(f"tensor {name} must hold one divisor per pair, got {place.count:,}; {FETCH_AGAIN}")
    first = start + place.offset
    if first + 4 * place.count > len(data):
        raise RopeConfigError(f"tensor {name} ends beyond the file's {len(data):,} bytes; {FETCH_AGAIN}")
    values = np.frombuffer(data[first : first + 4 * place.count], f"{order}f4")
    return tuple(values.tolist())


def _other_parts(path: Path, values: dict[str, Any]) -> list[Path]:
    """Return the other parts of a model that gguf-split has divided; the first part holds the keys."""
    findings = Findings()
    split = Section(values, findings, "")
    number, count = split.integer("split.no", above=-1) or 0, split.integer("split.count", above=-1, at_most=99_999)
    named = _PART.fullmatch(path.stem)
    if findings.problems:
        raise RopeConfigError(findings.problems)
    if not count or count == 1:
        return []
    if named is None:
        raise RopeConfigError(
            f"is one of the {count} parts of a model and must keep its name, …-00001-of-{count:05}.gguf: "
            "the other parts are found by it"
        )
    parts = [path.with_name(f"{named['stem']}-{index + 1:05}-of-{count:05}{path.suffix}") for index in range(count)]
    if number:
        raise RopeConfigError(f"is part {number + 1} of {count} of a model; give the first, {parts[0].name}")
    return parts[1:]
