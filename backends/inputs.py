"""What a caller gives, checked: words, tensors, and that they fit one another."""

from collections.abc import Sequence
from typing import Final, get_args

from tightrope.backends.ops import Array, Ops, Order
from tightrope.rope.config import ALL_LAYOUTS, SIDES
from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.frequencies import Precision

ORDERS: Final[tuple[Order, ...]] = get_args(Order)
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)


def check_order(order: str) -> None:
    """Raise where order is not one of `ORDERS`."""
    _check_choice("order", order, ORDERS)


def check_precision(precision: str) -> None:
    """Raise where precision is not one of `PRECISIONS`."""
    _check_choice("precision", precision, PRECISIONS)


def check_form(layout: str, side: str, order: str) -> None:
    """Raise where a word is not one of those allowed."""
    _check_choice("layout", layout, ALL_LAYOUTS)
    _check_choice("side", side, SIDES)
    check_order(order)


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise RopeConfigError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {shortened(value)}")


def check_rotatable(ops: Ops, name: str, x: Array, pairs: int, order: Order) -> None:
    """Raise where x cannot be the q or k of a rotation of that many pairs."""
    if not ops.is_array(x):
        raise RopeConfigError(f"{name} must be a float {ops.framework} array, got {type(x).__name__}")
    if not ops.is_float(x):
        raise RopeConfigError(f"{name} must be of a float dtype, got {x.dtype}; convert it before the rotation")
    shape = x.shape
    if len(shape) != len(order):
        raise RopeConfigError(f"{name} must have {len(order)} axes for order {order!r}, got shape {tuple(shape)}")
    if shape[-1] < 2 * pairs:
        raise RopeConfigError(f"{name} must have at least rotary_dim ({2 * pairs}) channels, got {shape[-1]}")


def batch_and_seq(x: Array, order: Order) -> tuple[int, int]:
    """Return (batch, seq) of q or k; packed tokens are one row."""
    shape = x.shape
    if order == "thd":
        return 1, shape[0]
    return shape[0], shape[2] if order == "bhsd" else shape[1]


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
        if not (ops.is_array(part) and ops.is_float(part)):
            raise RopeConfigError(f"{name} must be a float {ops.framework} array, got {getattr(part, 'dtype', part)!r}")
    shape = cos.shape
    if len(shape) != 3 or shape != sin.shape:
        raise RopeConfigError(
            f"cos and sin must both be (batch, seq, pairs), got shapes {tuple(shape)} and {tuple(sin.shape)}"
        )
    if pairs is not None and shape[-1] != pairs:
        raise RopeConfigError(f"cos and sin must have one entry per rotated pair ({pairs}), got {shape[-1]}")


def check_integers(ops: Ops, name: str, values: Array) -> None:
    """Raise where an array of the framework is not of integers."""
    if not ops.is_integer(values):
        raise RopeConfigError(f"{name} must be of an integer dtype, got {values.dtype}")
