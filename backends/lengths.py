"""Tokens in context as a caller gives them, checked and brought to one form."""

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from tightrope.backends.inputs import check_integers
from tightrope.backends.ops import Array, Ops
from tightrope.rope.errors import RopeConfigError

Lengths = int | Sequence[int] | Array
"""Tokens in context (largest position + 1): one number for all rows, or one per row."""


RowLengths = list[int] | Array
"""The same in one form: on the host or on a device, one number or one per row."""


def find_lengths(ops: Ops, seq_len: Lengths | None) -> RowLengths | None:
    """Return the lengths as a list on the host, or as an array (rows,) of the framework; None where not given.

    Raises:
        RopeConfigError: They are not whole numbers >= 0, or not one or one per row.
    """
    if seq_len is None:
        return None
    if ops.is_array(seq_len):
        return _on_device(ops, seq_len)
    numbers: list[int] = [seq_len] if _is_int(seq_len) else _on_host(seq_len)
    if not numbers or min(numbers) < 0:
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
    """Say whether there is a length for each row, not one for all."""
    return lengths is not None and count(lengths) > 1


def count(lengths: RowLengths) -> int:
    """Return for how many rows there are lengths."""
    return len(lengths) if isinstance(lengths, list) else lengths.shape[0]


def _on_device(ops: Ops, seq_len: Array) -> Array:
    check_integers(ops, "seq_len", seq_len)
    if len(seq_len.shape) > 1:
        raise RopeConfigError(f"seq_len must be one number or one per row (batch,), got shape {tuple(seq_len.shape)}")
    return seq_len.reshape(-1)


def _is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _on_host(seq_len: Any) -> list[int]:
    numbers = seq_len.tolist() if hasattr(seq_len, "tolist") else seq_len
    numbers = numbers if isinstance(numbers, Sequence) else [numbers]
    # A set of types, not a loop: a step asks for hundreds of rows.
    if set(map(type, numbers)) != {int}:
        raise _wrong(seq_len)
    return list(numbers)


def _wrong(seq_len: Lengths) -> RopeConfigError:
    return RopeConfigError(f"seq_len must be whole numbers >= 0, one or one per row, got {seq_len!r}")
