"""Angles by framework operations: from positions to cos and sin."""

import math
from typing import Final

from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.ops import Array, Ops, Values
from tightrope.rope.frequencies import Frequencies

# In units of 2⁻³² turns, the top 32 bits of a phase.
_EIGHTH: Final = 1 << 29
_QUARTER_BITS: Final = 30
_UNIT: Final = 2 * math.pi / 2**32
# The rest has 29 bits, more than a float32 holds. Its upper 11 times 12 bits of the unit is exact in float32.
_UPPER: Final = -(1 << 18)
_UNIT_UPPER: Final = float.fromhex("0x1.922p+2") / 2**32
_UNIT_LOWER: Final = _UNIT - _UNIT_UPPER


def table(ops: Ops, phase: Phase) -> Table:
    """Return cos and sin of exact phases, attention factor in; at most 1e-7 off where that is 1."""
    # The arithmetic shift keeps the sign: the top 32 bits are −½ … ½ turn, with room in int64 for what is added.
    rotated = by_pair(ops, ops.int64(phase.positions), phase.axes) * by_row(phase.turns, phase.rows)
    cos, sin = ops.cos_sin(rotated >> 32)
    return scaled(cos, sin, phase.attention_factors, phase.rows, unscaled=phase.unscaled)


def cos_sin(ops: Ops, top: Array) -> tuple[Array, Array]:
    """Return cos and sin, float32, of the top 32 bits of phases, which int64 holds.

    They are n quarter turns, n in −2 … 2, and a rest t within ±π/4; folding first keeps t accurate in float32:
    cos = cos(nπ/2) cos t − sin(nπ/2) sin t,    sin = sin(nπ/2) cos t + cos(nπ/2) sin t,    the factors of n 0 or ±1.
    """
    shifted = top + _EIGHTH
    rest = _radians(ops, (shifted & (2 * _EIGHTH - 1)) - _EIGHTH)
    quarter = ops.float32(shifted >> _QUARTER_BITS)
    cos_quarter = 1 - abs(quarter)
    sin_quarter = quarter * (1 + cos_quarter)
    cos_rest, sin_rest = ops.cos(rest), ops.sin(rest)
    cos = cos_quarter * cos_rest - sin_quarter * sin_rest
    sin = sin_quarter * cos_rest + cos_quarter * sin_rest
    return cos, sin


def _radians(ops: Ops, units: Array) -> Array:
    """Return an angle of |units| <= 2²⁹ in 2⁻³² turns as float32 radians: rounded once, but for terms of 2⁻¹¹ of it."""
    upper = units & _UPPER
    lower = ops.float32(units - upper) * _UNIT
    upper = ops.float32(upper)
    return upper * _UNIT_UPPER + (upper * _UNIT_LOWER + lower)


def product_table(
    ops: Ops,
    positions: Array,
    inv_freq: Array,
    attention_factors: Array,
    rows: Array | None,
    axes: Array | None,
    *,
    unscaled: bool,
) -> Table:
    """Return cos and sin of float32(position) · inv_freq, rounded to float32 at each step as transformers does."""
    angles = by_pair(ops, ops.float32(positions), axes) * by_row(inv_freq, rows)
    return scaled(ops.cos(angles), ops.sin(angles), attention_factors, rows, unscaled=unscaled)


def difference_table(
    ops: Ops, positions: Array, old: Frequencies, new: Frequencies, axes: Array | None, like: Array
) -> Table:
    """Return cos and sin of b − a for the float32 angles a and b that `product_table` has at old and new frequencies.

    cos(b − a) = cos b cos a + sin b sin a,    sin(b − a) = sin b cos a − cos b sin a
    """
    at = by_pair(ops, ops.float32(positions), axes)
    a, b = (at * ops.array(Values.of(freqs.inv_freq), like) for freqs in (old, new))
    cos_a, sin_a, cos_b, sin_b = ops.cos(a), ops.sin(a), ops.cos(b), ops.sin(b)
    gain = new.attention_factor / old.attention_factor
    return Table(cos=(cos_b * cos_a + sin_b * sin_a) * gain, sin=(sin_b * cos_a - cos_b * sin_a) * gain)


def scaled(cos: Array, sin: Array, attention_factors: Array, rows: Array | None, *, unscaled: bool) -> Table:
    """Return the table with each row's attention factor in it."""
    if unscaled:
        return Table(cos=cos, sin=sin)
    gain = by_row(attention_factors[:, None], rows)
    return Table(cos=cos * gain, sin=sin * gain)


def by_row(tables: Array, rows: Array | None) -> Array:
    """Return (tables, n) for each row: (batch, 1, n), or (1, n) where all rows take the first."""
    return tables[:1] if rows is None else tables[rows][:, None]


def by_pair(ops: Ops, positions: Array, axes: Array | None) -> Array:
    """Return the position that rotates each pair: (batch, seq, pairs), or (batch, seq, 1) where there is one axis."""
    if axes is None:
        return positions[0][..., None]
    return ops.pairs_last(positions[axes])
