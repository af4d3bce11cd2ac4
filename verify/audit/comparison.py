"""How far a peer's rotation is from the truth, and whether rounding explains it."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from tightrope.rope import reference
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.frequencies import frequencies
from tightrope.verify.audit.peers import Built, Float32, Float64, PeerEnds, PeerLacks

# First positions of the blocks of 8 tokens that are compared.
OFFSETS: Final = (0, 4_000, 32_768, 131_000)
_TOKENS: Final = 8
_HEADS: Final = 2

# What float32 explains: 1e-6 of |x| for cos, sin, two products and a sum, and per radian of the angle 18 float32 ulp of
# inv_freq (the worst of mlx's ways to raise a base to a power, 18 · 2⁻²³) with the rounding of the product.
_VALUE: Final = 1e-6
_ANGLE: Final = 37 * 2.0**-24
# Where pair i's angle is the one before times a factor: i roundings of the factor and i of the products, half a unit in
# the last place each, and those of the position's product.
_STEP: Final = 2 * 2.0**-24


def offsets(rope: RopeConfig) -> tuple[int, ...]:
    """Return the positions to compare at: `OFFSETS`, and just beyond the length where tables switch."""
    switch = rope.scaling.switch_length(rope)
    return OFFSETS if switch is None else tuple(sorted({*OFFSETS, switch + 1}))


def rows_compared(rope: RopeConfig) -> int:
    """Return how many positions from 0 on hold all that are compared."""
    return max(offsets(rope)) + _TOKENS


def vectors(rope: RopeConfig) -> Float32:
    """Return the queries that are rotated, (1, heads, seq, width): of the width that attention hands to the rope."""
    width = rope.head_dim if rope.side == "head" else rope.rotary_dim
    return np.random.default_rng(0).standard_normal((1, _HEADS, _TOKENS, width)).astype(np.float32)


def truth(rope: RopeConfig, x: Float32, offset: int, *, multiplies: bool = False) -> tuple[Float64, Float64]:
    """Return x rotated in float64, and for each channel how far float32 rounding may move it."""
    positions = np.arange(offset, offset + _TOKENS)[None]
    length = offset + _TOKENS
    cos, sin = (part[:, None] for part in reference.cos_sin(rope, positions, seq_len=length))
    rotated = reference.rotate(x, cos, sin, layout=rope.layout, side=rope.side)
    angles = positions[:, None, :, None] * np.abs(frequencies(rope, length).inv_freq)
    first, second = reference.pair_slices(x.shape[-1], rope.pairs, rope.layout, rope.side)
    rounding = np.maximum(_ANGLE, _STEP * np.arange(rope.pairs)) if multiplies else _ANGLE
    norm = np.hypot(x[..., first], x[..., second]) * frequencies(rope, length).attention_factor
    allowed = np.full(x.shape, _VALUE)
    allowed[..., first] = allowed[..., second] = norm * (_VALUE + rounding * angles) + _VALUE
    return rotated, allowed


@dataclass(frozen=True)
class PeerComparison:
    """A rope of a peer against one description of it.

    Attributes:
        errors: The largest difference at each offset, for normally distributed queries.
        explained: float32 rounding explains every difference.
    """

    errors: dict[int, float]
    explained: bool


def compare(rotated: dict[int, Float32], rope: RopeConfig, *, multiplies: bool = False) -> PeerComparison:
    """Compare what a peer rotated, by offset, with what a rope would have rotated."""
    x = vectors(rope)
    errors: dict[int, float] = {}
    explained = True
    for offset, result in rotated.items():
        if result.shape != x.shape:
            return PeerComparison(dict.fromkeys(rotated, float("inf")), explained=False)
        exact, allowed = truth(rope, x, offset, multiplies=multiplies)
        arranged = zip(_arrangements(exact, rope), _arrangements(allowed, rope), strict=True)
        found = [(np.abs(result - y), rounding) for y, rounding in arranged]
        difference, rounding = min(found, key=lambda pair: float((pair[0] / pair[1]).max()))
        errors[offset] = float(difference.max())
        explained = explained and bool((difference <= rounding).all())
    return PeerComparison(errors, explained)


def _arrangements(y: Float64, rope: RopeConfig) -> tuple[Float64, ...]:
    return reference.arrangements(y, pairs=rope.pairs, layout=rope.layout, side=rope.side)


def rotate_by(built: Built, layer: int, rope: RopeConfig) -> dict[int, Float32]:
    """Return what a peer makes of the queries, by offset.

    Raises:
        PeerLacks: It serves none of the positions.
    """
    x = vectors(rope)
    rotated = {}
    for offset in offsets(rope):
        with suppress(PeerEnds):
            rotated[offset] = built.rotate(layer, x, offset)
    if not rotated:
        raise PeerLacks(f"it serves fewer than {_TOKENS} positions")
    return rotated
