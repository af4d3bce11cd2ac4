"""Positions as a caller gives them, checked and brought to one form: (axes, batch, seq)."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.backends.shared.arguments import check_integers, conversion, order_for
from tightrope.backends.shared.ops import Array, Ops, Order
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.support.validation import is_whole

_INT64: Final = np.iinfo(np.int64)


@dataclass(frozen=True, eq=False)
class Positions:
    """Positions in one form.

    Attributes:
        values: (axes or 1, batch or 1, seq), int32 or int64; floats where a rope has fractional positions and they are
            not known to be whole.
        ends: The largest position + 1 of each row, or of all, where the host knows it without reading the device.
        restarts: Whether a row may hold several documents: a position that is not larger than the one before it; None
            where the host does not know.
    """

    values: Array
    ends: list[int] | None = None
    restarts: bool | None = False

    def in_rows(self, ops: Ops, rows: int) -> "Positions":
        """Return (axes, 1, seq) as (axes, rows, seq): the same positions in each row."""
        axes, _, seq = self.values.shape
        return self if rows == 1 else replace(self, values=ops.broadcast(self.values, (axes, rows, seq)))

    def one_per_row(self) -> "Positions":
        """Return (axes, 1, tokens) as (axes, tokens, 1): packed tokens, each with its own length."""
        return Positions(self.values.reshape(self.values.shape[0], -1, 1))


def find_positions(
    ops: Ops, config: RopeConfig, positions: Array | None, offset: int | Array | None,
    seq: int | None, like: Array | None, order: Order | None = None,
) -> Positions:  # fmt: skip
    """Return the positions that the caller means.

    Args:
        ops: The framework.
        config: The rope, which says how many axes there may be.
        positions: (seq,), (batch, seq) or (axes, batch, seq), of the framework or of numpy; integers, whole numbers of
            a float dtype, and fractions where the rope has fractional positions.
        offset: The first position, for all rows or one per row; 0 where neither is given.
        seq: The number of positions, where it is known.
        like: An array on whose device positions are made.
        order: The order of the axes of `like`, where it is the q or k whose tokens these are; for the message.
    """
    if positions is None:
        if seq is None:
            raise RopeConfigError("give positions, or length and where they start (offset)")
        return positions_from(ops, "offset", 0 if offset is None else offset, seq, like)
    if offset is not None:
        raise RopeConfigError("give positions or offset, not both")

    def shaped(values: Array) -> Array:
        return _shaped(config, values, seq, like if order else None, order or "bhsd")

    if _are_floats(ops, positions):
        if not _are_whole(ops, positions, wait=not config.fractional):
            if not config.fractional:
                raise _fractions_refused(ops, positions)
            return Positions(shaped(_fractions(ops, positions, like)))
        positions = positions.astype(np.int64) if isinstance(positions, np.ndarray) else ops.int64(positions)
    values, known = integers(ops, "positions", positions, like, "an integer")
    if known is None:
        return Positions(shaped(values), None, None)
    return Positions(shaped(values), _ends(known), bool((known[..., 1:] <= known[..., :-1]).any()))


def positions_from(ops: Ops, name: str, start: int | Array, seq: int, like: Array | None) -> Positions:
    """Return start, start + 1, … in each row: seq positions.

    Args:
        ops: The framework.
        name: What the caller knows start by.
        start: The first position, for all rows or one per row.
        seq: How many positions.
        like: An array on whose device positions are made.
    """
    if is_whole(start):
        start = int(start)
        if not _INT64.min <= start <= _INT64.max - seq:
            raise RopeConfigError(
                f"{name} must leave {shortened(seq)} positions within 64 bits, got {shortened(start)}"
            )
        return Positions(ops.arange(start, start + seq, like)[None, None], [start + seq])
    values, known = integers(ops, name, start, like, "an int or an integer")
    if len(values.shape) > 1:
        raise RopeConfigError(f"{name} must be one number or one per row (batch,), got shape {tuple(values.shape)}")
    ends = None if known is None else [int(first) + seq for first in known.reshape(-1)]
    return Positions(ops.int64(values).reshape(1, -1, 1) + ops.arange(0, seq, values), ends)


def integers(ops: Ops, name: str, given: Any, like: Array | None, kind: str) -> tuple[Array, NDArray[np.int64] | None]:
    """Return integers as an array of the framework, and on the host where they were there; there int64, to add to."""
    if not isinstance(given, np.ndarray):
        if not ops.is_array(given):
            wanted = f"{kind} {ops.framework} or numpy array"
            raise RopeConfigError(f"{name} must be {wanted}, got {shortened(given)}{conversion(ops, name, given)}")
        check_integers(ops, name, given)
        return ops.index(given), None
    known = host_integers(name, given)
    return ops.from_numpy(known, like), None if ops.compiling() else known


def host_integers(name: str, given: NDArray[Any]) -> NDArray[np.int64]:
    """Return a numpy array of integers as int64, in which the next position has room.

    Raises:
        RopeConfigError: It is masked, of another dtype, or holds what 64 bits do not.
    """
    if isinstance(given, np.ma.MaskedArray):
        raise RopeConfigError(f"{name} must have a value everywhere, got a masked array; fill it: {name}.filled(0)")
    if given.dtype.kind not in "iu":
        raise RopeConfigError(f"{name} must be of an integer dtype, got {given.dtype}; convert it: {name}.astype(int)")
    if given.size and int(given.max()) > _INT64.max:
        raise RopeConfigError(f"{name} must be below 2**63, got {given.max()}")
    return given.astype(np.int64)


def _are_floats(ops: Ops, given: Any) -> bool:
    return given.dtype.kind == "f" if isinstance(given, np.ndarray) else ops.is_array(given) and ops.is_float(given)


def _are_whole(ops: Ops, given: Any, *, wait: bool) -> bool:
    if not isinstance(given, np.ndarray):
        return bool(ops.whole(given, wait=wait))
    with np.errstate(invalid="ignore"):
        return bool(((given % 1 == 0) & (np.abs(given) < 2.0**62)).all())


def _fractions_refused(ops: Ops, given: Any) -> RopeConfigError:
    into = "{x}.astype(int)" if isinstance(given, np.ndarray) else ops.conversions["integers"]
    return RopeConfigError(
        f"positions must be whole numbers where the rope has no fractional ones, got {given.dtype} with fractions, or "
        f"in a graph without values; convert them: {into.format(x='positions')}"
    )


def _fractions(ops: Ops, given: Any, like: Array | None) -> Array:
    return ops.from_numpy(given.astype(np.float32), like) if isinstance(given, np.ndarray) else given


def _shaped(config: RopeConfig, positions: Array, seq: int | None, x: Array | None, order: Order) -> Array:
    shape = tuple(positions.shape)
    if len(shape) not in (1, 2, 3) or (len(shape) == 3 and shape[0] not in (1, config.axes)):
        axes = f" or ({config.axes}, batch, seq)" if config.axes > 1 else ""
        raise RopeConfigError(f"positions must be (seq,) or (batch, seq){axes}, got shape {shape}")
    if seq is not None and shape[-1] != seq:
        batch = shape[-2] if len(shape) > 1 else 1
        hint = "" if x is None else order_for(x, (batch, shape[-1]), order)
        raise RopeConfigError(f"positions must have one entry per token ({seq}), got shape {shape}{hint}")
    return positions.reshape((1,) * (3 - len(shape)) + shape)


def _ends(positions: NDArray[Any]) -> list[int]:
    rows = positions.reshape((1,) * (3 - positions.ndim) + positions.shape)
    ends: list[int] = (rows.max(axis=(0, 2), initial=-1) + 1).tolist()
    return ends
