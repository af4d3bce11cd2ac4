"""Why a peer rotates otherwise: descriptions of wrong ropes, tried until one explains what the peer does.

Each rule changes a rope as a reader that drops or mistakes one thing would have it. A combination of rules that rotates
the queries as the peer does, at every position and within rounding, is the cause.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from tightrope.rope import reference
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import frequencies
from tightrope.rope.reading.gguf.axes import fourth_axis
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.divisors import Divisors
from tightrope.rope.scaling.llama3 import Llama3
from tightrope.rope.scaling.longrope import LongRope
from tightrope.rope.scaling.yarn import Yarn
from tightrope.verify.audit.comparison import compare
from tightrope.verify.audit.peers import Built, Float32, PeerRefuses

UNKNOWN: Final = "unknown"
SPELLING: Final = "spelling not read"
KEY: Final = "key not read"

# Original lengths that readers fall back to.
_LENGTHS: Final = (2048, 4096, 8192)
# What YaRN's paper recommends, and readers take.
_BETA_FAST: Final = 32.0
_BETA_SLOW: Final = 1.0
# A divisor beyond any position: a pair that does not rotate.
_STILL: Final = 1e30
# What measuring a gain with float32 leaves open.
_GAIN_ROUNDING: Final = 1e-6


@dataclass(frozen=True)
class Deviation:
    """One thing that a peer does otherwise.

    Attributes:
        cause: Its class, as the summary counts it.
        words: What the peer does and what the configuration says.
        rope: The rope with this alone changed.
    """

    cause: str
    words: str
    rope: RopeConfig


def explain(rotated: dict[int, Float32], built: Built, layer: int, rope: RopeConfig) -> tuple[Deviation, ...]:
    """Return the fewest deviations under which a rope rotates as the peer does, () where none of those known does."""
    for count in (1, 2, 3):
        for chain in _chains(built, layer, rope, count):
            if compare(rotated, chain[-1].rope, multiplies=built.multiplies).explained:
                return chain
    return ()


def _chains(built: Built, layer: int, rope: RopeConfig, count: int) -> Iterator[tuple[Deviation, ...]]:
    """Yield combinations of `count` deviations, each applied to the result of the one before."""
    # The scaling first: what it lists for each pair fits one width alone.
    rules = (_scalings, _widths, _layouts, _bases, _gains)
    for chosen in itertools.combinations(rules, count):
        chains: list[tuple[Deviation, ...]] = [()]
        for rule in chosen:
            chains = [
                (*chain, deviation)
                for chain in chains
                for deviation in rule(built, layer, chain[-1].rope if chain else rope, rope)
            ]
        yield from chains


def _changed(cause: str, words: str, rope: RopeConfig, **changes: Any) -> Iterator[Deviation]:
    """Yield the deviation, nothing where such a rope cannot be."""
    try:
        yield Deviation(cause, words, replace(rope, **changes))
    except RopeConfigError:
        return


def _widths(built: Built, layer: int, rope: RopeConfig, said: RopeConfig) -> Iterator[Deviation]:
    for width in sorted({rope.head_dim, rope.head_dim // 2, rope.head_dim // 4}):
        if width != rope.rotary_dim and rope.side == "head":
            words = f"rotating {width} channels (config.json: {said.rotary_dim})"
            yield from _changed("partial factor ignored", words, rope, rotary_dim=width, frequency_dim=None)


def _layouts(built: Built, layer: int, rope: RopeConfig, said: RopeConfig) -> Iterator[Deviation]:
    other = "half" if rope.layout == "interleaved" else "interleaved"
    yield from _changed("layout", f"pairing channels {other!r} (this family: {rope.layout!r})", rope, layout=other)


def _scalings(built: Built, layer: int, rope: RopeConfig, said: RopeConfig) -> Iterator[Deviation]:
    scaling = rope.scaling
    if isinstance(scaling, LongRope):
        yield from _longropes(rope, scaling)
    if isinstance(scaling, Yarn):
        yield from _yarns(rope, scaling)
    if isinstance(scaling, Yarn | Llama3):
        for length in _LENGTHS:
            words = f"taking {length} for its original length (config.json: {rope.original_length})"
            changed = replace(scaling, original_max_position_embeddings=length)
            yield from _changed("original length", words, rope, scaling=changed)
    left = fourth_axis(rope)
    if left and isinstance(scaling, Default):
        words = f"leaving pairs {', '.join(map(str, left))} unrotated, which it gives to a fourth position axis"
        divisor = tuple(_STILL if pair in left else 1.0 for pair in range(rope.pairs))
        yield from _changed("fourth axis", words, rope, scaling=Divisors(divisor=divisor))
    if not isinstance(scaling, Default):
        yield from _changed("scaling ignored", f"without its {scaling.rope_type} scaling", rope, scaling=Default())


def _longropes(rope: RopeConfig, scaling: LongRope) -> Iterator[Deviation]:
    for name, factors in (("long", scaling.long_factor), ("short", scaling.short_factor)):
        changed = replace(scaling, short_factor=factors, long_factor=factors)
        words = f"with the {name} factors at every length"
        yield from _changed(f"{name} factors always", words, rope, scaling=changed)


def _yarns(rope: RopeConfig, scaling: Yarn) -> Iterator[Deviation]:
    if not scaling.truncate:
        words = "with a rounded correction range (config.json: truncate false)"
        yield from _changed("truncate ignored", words, rope, scaling=replace(scaling, truncate=True))
    if (scaling.beta_fast, scaling.beta_slow) != (_BETA_FAST, _BETA_SLOW):
        words = (
            f"with beta_fast {_BETA_FAST:g} and beta_slow {_BETA_SLOW:g} "
            f"(config.json: {scaling.beta_fast:g} and {scaling.beta_slow:g})"
        )
        usual = replace(scaling, beta_fast=_BETA_FAST, beta_slow=_BETA_SLOW)
        yield from _changed("betas ignored", words, rope, scaling=usual)


def _bases(built: Built, layer: int, rope: RopeConfig, said: RopeConfig) -> Iterator[Deviation]:
    angles, _ = _measured(built, layer, rope)
    if len(angles) < 2 or not 0 < angles[1] < angles[0]:
        return
    # By the ratio of two frequencies, against the same ratio here: divisors cancel.
    ours = frequencies(rope, 2).inv_freq
    ratio = (angles[1] / angles[0]) / (ours[1] / ours[0])
    fitted = float(rope.base * ratio ** (-rope.exponent_dim / 2))
    for base in dict.fromkeys((float(f"{fitted:.4g}"), fitted)):
        if math.isfinite(base) and abs(base / rope.base - 1) > 1e-4:
            yield from _changed(
                "base ignored", f"with base {base:,.9g} (config.json: {said.base:,.9g})", rope, base=base
            )


def _gains(built: Built, layer: int, rope: RopeConfig, said: RopeConfig) -> Iterator[Deviation]:
    _, gain = _measured(built, layer, rope)
    wanted = frequencies(rope, 1).attention_factor
    if not isinstance(rope.scaling, Yarn | LongRope) or abs(gain - wanted) <= _GAIN_ROUNDING * wanted:
        return
    cause = "attention factor"
    if isinstance(rope.scaling, Yarn) and (rope.scaling.mscale or rope.scaling.mscale_all_dim):
        cause = "mscale rule"
    scaling = replace(rope.scaling, attention_factor=gain)
    if isinstance(scaling, LongRope):
        scaling = replace(scaling, short_mscale=None, long_mscale=None)
    yield from _changed(cause, f"with attention factor {gain:.5g} (config.json: {wanted:.5g})", rope, scaling=scaling)


def _measured(built: Built, layer: int, rope: RopeConfig) -> tuple[Sequence[float], float]:
    """Return by which angle a peer rotates each pair from one position to the next, and its attention factor."""
    width = rope.head_dim if rope.side == "head" else rope.rotary_dim
    first, second = reference.pair_slices(width, rope.pairs, rope.layout, rope.side)
    x = np.zeros((1, rope.pairs, 1, width), np.float32)
    x[0, :, 0, first] = np.eye(rope.pairs)
    try:
        y = built.rotate(layer, x, 1)[0, :, 0].astype(np.float64)
    except PeerRefuses:
        return (), 1.0
    pairs = np.arange(rope.pairs)
    along, across = y[:, first][pairs, pairs], y[:, second][pairs, pairs]
    return np.arctan2(across, along).tolist(), float(np.hypot(along, across)[0])
