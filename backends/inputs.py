"""What a caller gives, checked and brought to one form: positions (axes, batch, seq), lengths by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from tightrope.backends.ops import Array, Ops
from tightrope.rope.config import LAYOUTS, SIDES, RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import Precision

Order = Literal["bhsd", "bshd", "thd"]
ORDERS: Final[tuple[Order, ...]] = get_args(Order)
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)

Lengths = int | Sequence[int] | Array
"""Tokens in context: one number for all rows, or one per row."""


@dataclass(frozen=True, eq=False)
class Positions:
    """Positions in one form.

    Attributes:
        values: (axes or 1, batch or 1, seq), int32 or int64.
        end: The largest position + 1 where the host knows it without reading the device, else None.
    """

    values: Array
    end: int | None = None

    def one_per_row(self) -> "Positions":
        """Return (axes, 1, tokens) as (axes, tokens, 1): packed tokens, each with a length of its own."""
        return Positions(self.values.reshape(self.values.shape[0], -1, 1), self.end)


def check_order(order: str) -> None:
    """Raise where order is not one of `ORDERS`."""
    _check_choice("order", order, ORDERS)


def check_precision(precision: str) -> None:
    """Raise where precision is not one of `PRECISIONS`."""
    _check_choice("precision", precision, PRECISIONS)


def check_form(layout: str, side: str, order: str) -> None:
    """Raise where a word is not one of those allowed."""
    _check_choice("layout", layout, LAYOUTS)
    _check_choice("side", side, SIDES)
    check_order(order)


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise RopeConfigError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def check_rotatable(ops: Ops, name: str, x: Array, pairs: int, order: Order) -> None:
    """Raise where x cannot be the q or k of a rotation of that many pairs."""
    if not ops.is_array(x):
        raise RopeConfigError(f"{name} must be a {ops.framework} array, got {type(x).__name__}")
    if not ops.is_float(x):
        raise RopeConfigError(f"{name} must be of a float dtype, got {x.dtype}; convert it before the rotation")
    if len(x.shape) != len(order):
        raise RopeConfigError(f"{name} must have {len(order)} axes for order {order!r}, got shape {tuple(x.shape)}")
    if x.shape[-1] < 2 * pairs:
        raise RopeConfigError(f"{name} must have at least rotary_dim ({2 * pairs}) channels, got {x.shape[-1]}")


def batch_and_seq(x: Array, order: Order) -> tuple[int, int]:
    """Return (batch, seq) of q or k; packed tokens are one row."""
    if order == "thd":
        return 1, x.shape[0]
    return x.shape[0], x.shape[2] if order == "bhsd" else x.shape[1]


def check_fit(name: str, x: Array, angles: tuple[int, int], order: Order) -> None:
    """Raise where angles for (batch, seq) do not fit q or k."""
    batch, seq = batch_and_seq(x, order)
    if order == "thd":
        fits = 1 in angles and angles[0] * angles[1] == seq
    else:
        fits = angles[0] in (1, batch) and angles[1] == seq
    if not fits:
        raise RopeConfigError(
            f"{name} has (batch, seq) = ({batch}, {seq}) in order {order!r}, "
            f"but the positions or angles have ({angles[0]}, {angles[1]})"
        )


def check_table(ops: Ops, cos: Array, sin: Array, pairs: int | None = None) -> None:
    """Raise where cos and sin cannot be angles, of that many pairs where it is known."""
    for name, part in (("cos", cos), ("sin", sin)):
        if not ops.is_array(part) or not ops.is_float(part):
            raise RopeConfigError(f"{name} must be a float {ops.framework} array, got {getattr(part, 'dtype', part)!r}")
    if len(cos.shape) != 3 or tuple(cos.shape) != tuple(sin.shape):
        raise RopeConfigError(
            f"cos and sin must both be (batch, seq, pairs), got shapes {tuple(cos.shape)} and {tuple(sin.shape)}"
        )
    if pairs is not None and cos.shape[-1] != pairs:
        raise RopeConfigError(f"cos and sin must have one entry per rotated pair ({pairs}), got {cos.shape[-1]}")


def find_positions(
    ops: Ops,
    config: RopeConfig,
    positions: Array | None,
    offset: int | Array | None,
    seq: int | None,
    like: Array | None,
) -> Positions:
    """Return the positions that the caller means.

    Args:
        ops: The framework.
        config: The rope, which says how many axes there may be.
        positions: (seq,), (batch, seq) or (axes, batch, seq).
        offset: The first position, for all rows or one per row; 0 where neither is given.
        seq: The number of positions, where it is known.
        like: An array on whose device positions are made.
    """
    if positions is None:
        if seq is None:
            raise RopeConfigError("give positions, or length and where they start (offset)")
        return _from_offset(ops, 0 if offset is None else offset, seq, like)
    if offset is not None:
        raise RopeConfigError("give positions or offset, not both")
    return Positions(_shaped(ops, config, positions, seq))


def _from_offset(ops: Ops, offset: int | Array, seq: int, like: Array | None) -> Positions:
    if isinstance(offset, int) and not isinstance(offset, bool):
        return Positions(ops.arange(offset, offset + seq, like)[None, None], offset + seq)
    check_integers(ops, "offset", offset)
    if len(offset.shape) > 1:
        raise RopeConfigError(f"offset must be one number or one per row (batch,), got shape {tuple(offset.shape)}")
    return Positions(ops.int64(offset).reshape(1, -1, 1) + ops.arange(0, seq, offset))


def _shaped(ops: Ops, config: RopeConfig, positions: Array, seq: int | None) -> Array:
    check_integers(ops, "positions", positions)
    shape = tuple(positions.shape)
    if len(shape) not in (1, 2, 3) or (len(shape) == 3 and shape[0] not in (1, config.axes)):
        axes = f" or ({config.axes}, batch, seq)" if config.axes > 1 else ""
        raise RopeConfigError(f"positions must be (seq,) or (batch, seq){axes}, got shape {shape}")
    if seq is not None and shape[-1] != seq:
        raise RopeConfigError(f"positions must have one entry per token ({seq}), got shape {shape}")
    return ops.index(positions).reshape((1,) * (3 - len(shape)) + shape)


def find_lengths(ops: Ops, seq_len: Lengths | None) -> list[int] | Array | None:
    """Return tokens in context as a list on the host, or as an array (rows,) of the framework; None where not given."""
    if seq_len is None:
        return None
    if ops.is_array(seq_len):
        return _device_lengths(ops, seq_len)
    numbers = list(seq_len) if isinstance(seq_len, Sequence) else [seq_len]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
            raise RopeConfigError(f"seq_len must be whole numbers >= 0, one or one per row, got {seq_len!r}")
    return numbers


def _device_lengths(ops: Ops, seq_len: Array) -> Array:
    check_integers(ops, "seq_len", seq_len)
    if len(seq_len.shape) > 1:
        raise RopeConfigError(f"seq_len must be one number or one per row (batch,), got shape {tuple(seq_len.shape)}")
    return seq_len.reshape(-1)


def several(lengths: list[int] | Array | None) -> bool:
    """Say whether there is a length for each row, not one for all."""
    return lengths is not None and (len(lengths) if isinstance(lengths, list) else lengths.shape[0]) > 1


def check_integers(ops: Ops, name: str, values: Array) -> None:
    """Raise where values are not an integer array of the framework."""
    if not ops.is_array(values):
        raise RopeConfigError(f"{name} must be an int or an integer {ops.framework} array, got {values!r}")
    if not ops.is_integer(values):
        raise RopeConfigError(f"{name} must be of an integer dtype, got {values.dtype}")
