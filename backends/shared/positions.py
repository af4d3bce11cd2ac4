"""Positions as a caller gives them, checked and brought to one form: (axes, batch, seq)."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.backends.shared.arguments import check_integers
from tightrope.backends.shared.ops import Array, Ops
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError, shortened

_INT64: Final = np.iinfo(np.int64)


@dataclass(frozen=True, eq=False)
class Positions:
    """Positions in one form.

    Attributes:
        values: (axes or 1, batch or 1, seq), int32 or int64; float32 where a rope has fractional positions.
        ends: The largest position + 1 of each row, or of all, where the host knows it without reading the device.
    """

    values: Array
    ends: list[int] | None = None

    def one_per_row(self) -> "Positions":
        """Return (axes, 1, tokens) as (axes, tokens, 1): packed tokens, each with a length of its own."""
        return Positions(self.values.reshape(self.values.shape[0], -1, 1))


def find_positions(
    ops: Ops, config: RopeConfig, positions: Array | None, offset: int | Array | None,
    seq: int | None, like: Array | None,
) -> Positions:  # fmt: skip
    """Return the positions that the caller means.

    Args:
        ops: The framework.
        config: The rope, which says how many axes there may be.
        positions: (seq,), (batch, seq) or (axes, batch, seq), of the framework or of numpy; integers, and floats where
            the rope has fractional positions.
        offset: The first position, for all rows or one per row; 0 where neither is given.
        seq: The number of positions, where it is known.
        like: An array on whose device positions are made.
    """
    if positions is None:
        if seq is None:
            raise RopeConfigError("give positions, or length and where they start (offset)")
        return positions_from(ops, "offset", 0 if offset is None else offset, seq, like)
    if offset is not None:
        raise RopeConfigError("give positions or offset, not both")
    if config.fractional and _are_floats(ops, positions):
        return Positions(_shaped(config, _fractions(ops, positions, like), seq))
    values, known = _taken(ops, "positions", positions, like, "an integer")
    return Positions(_shaped(config, values, seq), None if known is None else _ends(known))


def positions_from(ops: Ops, name: str, start: int | Array, seq: int, like: Array | None) -> Positions:
    """Return start, start + 1, … in each row: seq positions.

    Args:
        ops: The framework.
        name: What the caller knows start by.
        start: The first position, for all rows or one per row.
        seq: How many positions.
        like: An array on whose device positions are made.
    """
    if isinstance(start, int | np.integer) and not isinstance(start, bool):
        start = int(start)
        if not _INT64.min <= start <= _INT64.max - seq:
            raise RopeConfigError(f"{name} must leave {seq} positions within 64 bits, got {shortened(start)}")
        return Positions(ops.arange(start, start + seq, like)[None, None], [start + seq])
    values, known = _taken(ops, name, start, like, "an int or an integer")
    if len(values.shape) > 1:
        raise RopeConfigError(f"{name} must be one number or one per row (batch,), got shape {tuple(values.shape)}")
    ends = None if known is None else (known.reshape(-1) + seq).tolist()
    return Positions(ops.int64(values).reshape(1, -1, 1) + ops.arange(0, seq, values), ends)


def _taken(ops: Ops, name: str, given: Any, like: Array | None, kind: str) -> tuple[Array, NDArray[Any] | None]:
    """Return integers as an array of the framework, and on the host where they were there."""
    if not isinstance(given, np.ndarray):
        if not ops.is_array(given):
            raise RopeConfigError(f"{name} must be {kind} {ops.framework} or numpy array, got {given!r}")
        check_integers(ops, name, given)
        return ops.index(given), None
    if given.dtype.kind not in "iu":
        raise RopeConfigError(f"{name} must be of an integer dtype, got {given.dtype}")
    return ops.from_numpy(given.astype(np.int64), like), None if ops.compiling() else given


def _are_floats(ops: Ops, given: Any) -> bool:
    return given.dtype.kind == "f" if isinstance(given, np.ndarray) else ops.is_array(given) and ops.is_float(given)


def _fractions(ops: Ops, given: Any, like: Array | None) -> Array:
    return ops.from_numpy(given.astype(np.float32), like) if isinstance(given, np.ndarray) else ops.float32(given)


def _shaped(config: RopeConfig, positions: Array, seq: int | None) -> Array:
    shape = tuple(positions.shape)
    if len(shape) not in (1, 2, 3) or (len(shape) == 3 and shape[0] not in (1, config.axes)):
        axes = f" or ({config.axes}, batch, seq)" if config.axes > 1 else ""
        raise RopeConfigError(f"positions must be (seq,) or (batch, seq){axes}, got shape {shape}")
    if seq is not None and shape[-1] != seq:
        raise RopeConfigError(f"positions must have one entry per token ({seq}), got shape {shape}")
    return positions.reshape((1,) * (3 - len(shape)) + shape)


def _ends(positions: NDArray[Any]) -> list[int]:
    rows = positions.reshape((1,) * (3 - positions.ndim) + positions.shape)
    ends: list[int] = (rows.max(axis=(0, 2), initial=-1) + 1).tolist()
    return ends
