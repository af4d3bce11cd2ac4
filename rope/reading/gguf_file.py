"""A GGUF file's metadata and its tensors of frequency divisors, read by the `gguf` package."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tightrope.rope.errors import RopeConfigError
from tightrope.rope.optional import require
from tightrope.rope.reading.sheet import shortened

MAGIC = b"GGUF"
TENSORS = ("rope_freqs", "rope_factors_long", "rope_factors_short")


@dataclass(frozen=True)
class GgufFile:
    """What one file says about positions.

    Attributes:
        architecture: general.architecture.
        values: The architecture's keys without its name in front, and their values.
        divisors: By name, the float32 tensors of divisors that the file has.
    """

    architecture: str
    values: dict[str, Any]
    divisors: dict[str, tuple[float, ...]]


def open_file(path: Path) -> GgufFile:
    """Return the metadata of a file.

    Raises:
        RopeConfigError: It is not a GGUF file, or is cut off or damaged.
        ExtraMissing: The gguf package is not installed.
    """
    _check_magic(path)
    reader = _reader(path)
    field = reader.get_field("general.architecture")
    architecture = None if field is None else field.contents()
    if not isinstance(architecture, str) or not architecture:
        raise RopeConfigError("general.architecture must be a string and is missing; the file names no architecture")
    prefix = f"{architecture}."
    values = {
        key.removeprefix(prefix): _shortest(entry.contents())
        for key, entry in reader.fields.items()
        if key.startswith(prefix)
    }
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    found = {name: tensors[f"{name}.weight"] for name in TENSORS if f"{name}.weight" in tensors}
    return GgufFile(architecture, values, {name: _divisors(name, tensor) for name, tensor in found.items()})


def _shortest(value: Any) -> Any:
    """Return a float32 as the decimal that was written: 0.1, not 0.10000000149."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _check_magic(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise RopeConfigError(f"cannot be opened: {error}") from error
    if start != MAGIC:
        raise RopeConfigError(f"is not a GGUF file: it must begin with {MAGIC!r}, got {start!r}")


def _reader(path: Path) -> Any:
    package = require("gguf", extra="gguf", purpose="GGUF files")
    try:
        return package.GGUFReader(path)
    # The package checks little: what a cut or damaged file raises depends on where the cut is.
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError, OSError) as error:
        raise RopeConfigError(f"is cut off or damaged: {shortened(error)}; fetch the file again") from error


def _divisors(name: str, tensor: Any) -> tuple[float, ...]:
    if tensor.data.dtype != np.float32:
        raise RopeConfigError(f"tensor {name} must be float32, got {tensor.tensor_type.name}")
    return tuple(float(value) for value in tensor.data.reshape(-1))
