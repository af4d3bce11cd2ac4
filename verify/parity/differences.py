"""How far two results lie apart: absolutely, in ulps of the pair's norm, and whether their bits are equal.

One ulp of the pair's norm is eps · sqrt(y1² + y2²), eps = 2 ** (1 − digits of the dtype). Ulps of y1 alone say nothing:
where x1 · cos and x2 · sin cancel, an error far below the pair's own rounding is many ulps of what is left.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.reference import pair_slices

EPS: Final = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}

TURN: Final = 2 * np.pi / 2.0**64
"""Radians in the unit of `Frequencies.turns`."""


@dataclass(frozen=True)
class Figure:
    """The difference between two results.

    Attributes:
        absolute: Largest absolute difference.
        ulps: Largest difference in ulps of the pair's norm; inf for NaN, and for a channel that is not rotated.
        identical: All bits are equal.
        values: How many values were compared, at least 1.
    """

    absolute: float
    ulps: float
    identical: bool
    values: int


def angle_norm(parts: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
    """Return the norm of the pair (cos, sin): the attention factor, for each of the two."""
    return (np.hypot(*parts),) * 2


def pair_norm(rope: RopeConfig, y: NDArray[Any]) -> NDArray[Any]:
    """Return, for every channel of y, the norm of its pair; 0 outside the rotation."""
    norm = np.zeros_like(y)
    first, second = pair_slices(y.shape[-1], rope.pairs, rope.layout, rope.side)
    norm[..., first] = norm[..., second] = np.hypot(y[..., first], y[..., second])
    return norm


def compare(left: NDArray[Any], right: NDArray[Any], norm: NDArray[Any], eps: float) -> Figure:
    """Return how far two arrays lie apart.

    Args:
        left: Floats, or uint64 frequencies in 2⁻⁶⁴ turns, whose difference is then in radians.
        right: The same; of that shape, as is norm.
        norm: The pair's norm, or the frequency in radians; 0 where any difference is too much.
        eps: The dtype's, see `EPS`.

    Raises:
        ValueError: The shapes differ, or there is nothing to compare.
    """
    if left.shape != right.shape:
        raise ValueError(f"shape {left.shape} instead of {right.shape}")
    if left.size == 0:
        raise ValueError("nothing to compare")
    apart = np.abs(_difference(left, right))
    apart = np.where(np.isnan(apart), np.inf, apart)
    ulps = np.divide(apart, eps * norm, out=np.full(apart.shape, np.inf), where=norm > 0)
    return Figure(float(apart.max()), float(ulps[apart > 0].max(initial=0.0)), _same_bits(left, right), apart.size)


def _difference(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float64]:
    if left.dtype == np.uint64:
        # The difference modulo a turn is taken before anything is rounded.
        return np.asarray((left - right).view(np.int64) * TURN, np.float64)
    return np.asarray(left.astype(np.float64) - right.astype(np.float64))


def _same_bits(left: NDArray[Any], right: NDArray[Any]) -> bool:
    return np.array_equal(left, right) and np.array_equal(np.signbit(left), np.signbit(right))


def worst(figures: Iterable[Figure]) -> Figure:
    """Return one figure for several: the largest differences, identical where all are."""
    listed = tuple(figures)
    return Figure(
        max(one.absolute for one in listed),
        max(one.ulps for one in listed),
        all(one.identical for one in listed),
        sum(one.values for one in listed),
    )
