"""What a caller gives, checked: words, tensors, and that they fit one another."""

from collections.abc import Callable, Sequence
from typing import Any, Final, get_args

import numpy as np

from tightrope.backends.shared.ops import Array, Ops, Order
from tightrope.rope.config.terms import ALL_LAYOUTS, SIDES
from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.frequencies import Precision
from tightrope.rope.support.validation import is_whole

ORDERS: Final[tuple[Order, ...]] = get_args(Order)
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)


def check_order(order: str) -> None:
    """Raise where order is not one of `ORDERS`."""
    _check_choice("order", order, ORDERS)


def check_precision(precision: str) -> None:
    """Raise where precision is not one of `PRECISIONS`."""
    _check_choice("precision", precision, PRECISIONS)


def check_form(layout: str, side: str, order: str, transpose: bool) -> None:
    """Raise where a word is not one of those allowed, or transpose is not a bool."""
    _check_choice("layout", layout, ALL_LAYOUTS)
    _check_choice("side", side, SIDES)
    check_order(order)
    if not isinstance(transpose, bool):
        raise RopeConfigError(f"transpose must be True or False, got {shortened(transpose)}")


def _check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise RopeConfigError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {shortened(value)}")


REPEATED: Final = (
    "transformers repeats each angle: pass cos[..., : n // 2] and sin[..., : n // 2], or call "
    "rope_utils.apply_rotary_pos_emb"
)


def conversion(ops: Ops, name: str, given: object) -> str:
    """Return how to convert what another library holds, as the end of a message; nothing where that is not known."""
    if isinstance(given, float | np.floating):
        how: str | None = "int({x})"
    elif isinstance(given, list | tuple | range):
        how = ops.conversions["sequence"].format(x="list({x})" if isinstance(given, range) else "{x}")
    else:
        how = None if isinstance(given, np.generic) else ops.conversions.get(type(given).__module__.partition(".")[0])
    return "" if how is None else f"; convert it: {how.format(x=name)}"


def kind_of(value: object) -> str:
    """Return the type of a value as messages name it: `numpy.ndarray`, `list`."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def check_rotatable(ops: Ops, name: str, x: Array, pairs: int, order: Order, *, tables: bool = False) -> None:
    """Raise where x cannot be the q or k of a rotation of that many pairs.

    Args:
        ops: The framework.
        name: What the caller calls x.
        x: What is to be rotated.
        pairs: How many pairs.
        order: Its axes.
        tables: The caller gives cos and sin, and they say how many.
    """
    if not ops.is_array(x):
        raise RopeConfigError(
            f"{name} must be a float {ops.framework} array, got {kind_of(x)}{conversion(ops, name, x)}"
        )
    if not ops.is_float(x):
        raise RopeConfigError(f"{name} must be of a float dtype, got {x.dtype}; convert it before the rotation")
    shape = x.shape
    if len(shape) != len(order):
        hint = {3: "; did you mean order='thd'?", 4: "; did you mean order='bhsd' or 'bshd'?"}.get(len(shape), "")
        raise RopeConfigError(
            f"{name} must have {len(order)} axes for order {order!r}, got shape {shortened(tuple(shape))}{hint}"
        )
    if shape[-1] < 2 * pairs:
        hint = f"; {REPEATED}" if tables and pairs % 2 == 0 and shape[-1] >= pairs else ""
        raise RopeConfigError(f"{name} must have at least rotary_dim ({2 * pairs}) channels, got {shape[-1]}{hint}")


def batch_and_seq(x: Array, order: Order) -> tuple[int, int]:
    """Return (batch, seq) of q or k; packed tokens are one row."""
    shape = x.shape
    if order == "thd":
        return 1, shape[0]
    if order == "sbhd":
        return shape[1], shape[0]
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
            f"but the positions or angles have ({angles[0]}, {angles[1]}){order_for(x, angles, order)}"
        )


def order_for(x: Array, angles: tuple[int, int], order: Order) -> str:
    """Return a hint where positions or angles for (batch, seq) would fit if the axes of x stood in another order."""
    return _hint(order, lambda other: angles in (batch_and_seq(x, other), (1, batch_and_seq(x, other)[1])))


def _hint(order: Order, fits: Callable[[Order], bool]) -> str:
    others = [other for other in ORDERS if other not in (order, "thd") and order != "thd" and fits(other)]
    return f"; did you mean order={others[0]!r}?" if others else ""


def check_alike(q: Array, k: Array, order: Order) -> None:
    """Raise where q and k differ in batch or length: nothing says which row or token of q belongs to which of k."""
    wanted, given = batch_and_seq(q, order), batch_and_seq(k, order)
    if wanted != given:
        what, index = ("batch", 0) if wanted[0] != given[0] else ("length", 1)
        hint = _hint(order, lambda other: batch_and_seq(q, other) == batch_and_seq(k, other))
        raise RopeConfigError(
            f"q and k must have one {what}, got {wanted[index]} and {given[index]} in order {order!r}"
            f"{hint or '; rotate each in a separate call'}"
        )


def check_table(ops: Ops, cos: Array, sin: Array, pairs: int | None = None) -> None:
    """Raise where cos and sin cannot be angles, of that many pairs where it is known."""
    for name, part in (("cos", cos), ("sin", sin)):
        if not (ops.is_array(part) and ops.is_float(part)):
            got = part.dtype if ops.is_array(part) else kind_of(part)
            raise RopeConfigError(
                f"{name} must be a float {ops.framework} array, got {got}{conversion(ops, name, part)}"
            )
    shape = cos.shape
    if len(shape) != 3 or shape != sin.shape:
        raise RopeConfigError(
            f"cos and sin must both be (batch, seq, pairs), got shapes {tuple(shape)} and {tuple(sin.shape)}"
        )
    if shape[-1] == 0:
        raise RopeConfigError("cos and sin must hold at least one pair, got none")
    if pairs is not None and shape[-1] != pairs:
        hint = f"; {REPEATED}" if shape[-1] == 2 * pairs else ""
        raise RopeConfigError(f"cos and sin must have one entry per rotated pair ({pairs}), got {shape[-1]}{hint}")


def check_integers(ops: Ops, name: str, values: Array) -> None:
    """Raise where an array of the framework is not of integers."""
    if not ops.is_integer(values):
        into = ops.conversions["integers"].format(x=name)
        raise RopeConfigError(f"{name} must be of an integer dtype, got {values.dtype}; convert it: {into}")


MOST_TOKENS: Final = 2**63 - 1
"""The longest length: what 64 bits of a device hold."""

Lengths = int | Sequence[int] | Array
"""Tokens in context (largest position + 1): one number for all rows, or one per row."""


RowLengths = list[int] | Array
"""The same in one form: on the host or on a device, one number or one per row."""


def find_lengths(ops: Ops, seq_len: Lengths | None) -> RowLengths | None:
    """Return the lengths as a list on the host, or as an array (rows,) of the framework; None where not given.

    Raises:
        RopeConfigError: They are not whole numbers from 0 to `MOST_TOKENS`, or not one or one per row.
    """
    if seq_len is None:
        return None
    if ops.is_array(seq_len):
        return _on_device(ops, seq_len)
    return host_lengths(seq_len)


def host_lengths(seq_len: Lengths) -> list[int]:
    """Return lengths that are on the host as a list; see `find_lengths`."""
    numbers: list[int] = [int(seq_len)] if is_whole(seq_len) else _on_host(seq_len)
    if not numbers or min(numbers) < 0 or max(numbers) > MOST_TOKENS:
        raise _wrong(seq_len)
    return numbers


def check_lengths(lengths: RowLengths, rows: int, ends: list[int] | None) -> None:
    """Raise where lengths are not one or one per row, or where a row is longer than its length.

    Args:
        lengths: What `find_lengths` returned.
        rows: How many rows there are.
        ends: The largest position + 1 of each row, or of all, where it is known.
    """
    if count(lengths) not in (1, rows):
        raise RopeConfigError(f"seq_len must be one number or one per row ({rows}), got {count(lengths)} numbers")
    if ends is None or not isinstance(lengths, list):
        return
    given, needed = np.broadcast_arrays(lengths, ends)
    if (given < needed).any():
        row = int(np.argmax(given < needed))
        raise RopeConfigError(f"seq_len must be > the largest position ({needed[row] - 1}), got {given[row]}")


def several(lengths: RowLengths | None) -> bool:
    """Return whether there is a length for each row, not one for all."""
    return lengths is not None and count(lengths) > 1


def count(lengths: RowLengths) -> int:
    """Return for how many rows there are lengths."""
    return len(lengths) if isinstance(lengths, list) else lengths.shape[0]


def _on_device(ops: Ops, seq_len: Array) -> Array:
    check_integers(ops, "seq_len", seq_len)
    if len(seq_len.shape) > 1:
        raise RopeConfigError(f"seq_len must be one number or one per row (batch,), got shape {tuple(seq_len.shape)}")
    return ops.int64(ops.index(seq_len)).reshape(-1)  # narrow dtypes would not hold what it is compared with


def _on_host(seq_len: Any) -> list[int]:
    numbers = seq_len.tolist() if hasattr(seq_len, "tolist") else seq_len
    numbers = numbers if isinstance(numbers, Sequence) and not isinstance(numbers, bytes | bytearray) else [numbers]
    # A set of types, not a loop: a step asks for hundreds of rows.
    if set(map(type, numbers)) == {int}:
        return list(numbers)
    if not all(map(is_whole, numbers)):
        raise _wrong(seq_len)
    return list(map(int, numbers))


def _wrong(seq_len: Lengths) -> RopeConfigError:
    return RopeConfigError(
        f"seq_len must be whole numbers from 0 to 2**63 - 1, one or one per row, got {shortened(seq_len)}"
    )
