"""Exact phase: a frequency as an integer part of a turn, so that any position is reduced modulo 2π without rounding.

    turns = round(inv_freq / 2π · 2⁶⁴) mod 2⁶⁴          phase = turns · position mod 2⁶⁴

The wrap-around of 64-bit integers is the reduction. Against exact arithmetic on inv_freq this leaves half a unit of
2⁻⁶⁴ turns per position: 2e-12 rad at position 10⁷, 4e-10 at 2³¹.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.errors import RopeConfigError, shortened

# 2³⁸⁴ / 2π, rounded: enough digits for any inv_freq below 2⁶⁴.
_RECIPROCAL_BITS: Final = 384
_RECIPROCAL_TWO_PI: Final = int(
    "28be60db9391054a7f09d5f47d4d377036d8a5664f10e410"
    "7f9458eaf7aef1586dc91b8e909374b801924bba82746487",
    16,
)  # fmt: skip
_LARGEST: Final = 2.0**64
_WORD: Final = 64
_MASK: Final = (1 << _WORD) - 1


def turns(inv_freq: NDArray[np.floating[Any]]) -> NDArray[np.uint64]:
    """Return frequencies in 2⁻⁶⁴ of a turn per position, modulo one turn: uint64, correctly rounded.

    Args:
        inv_freq: (pairs,), radians per position, finite; negative frequencies rotate backwards.

    Raises:
        RopeConfigError: A frequency is not finite, or not below 2⁶⁴ rad per position.
    """
    values = np.asarray(inv_freq, np.float64)
    if not (np.abs(values) < _LARGEST).all():  # NaN fails this too
        raise RopeConfigError(
            f"inv_freq must be finite and below 2**64 rad per position, got {shortened(values.tolist())}"
        )
    return np.array([_turns(value) for value in values.tolist()], dtype=np.uint64)


def _turns(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    shift = denominator.bit_length() - 1 + _RECIPROCAL_BITS - _WORD  # the denominator is a power of two
    # Floor of x + 1/2, in integers.
    return ((numerator * _RECIPROCAL_TWO_PI + (1 << (shift - 1))) >> shift) & _MASK


def phase(turns: NDArray[np.uint64], positions: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
    """Return turns · position mod 2⁶⁴, in 2⁻⁶⁴ of a turn: uint64.

    Args:
        turns: (pairs,), see `turns`.
        positions: Integers, broadcast against turns: (…, 1), or (…, pairs) where pairs follow different axes.
    """
    # Two's complement: a negative position wraps to the same product modulo 2⁶⁴.
    return np.asarray(positions, np.int64).astype(np.uint64) * turns
