"""The numbers behind every picture: one curve per frequency table that a rope has. Needs numpy alone."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.config.description import describe
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import frequencies
from tightrope.rope.scaling.default import Default

Float64 = NDArray[np.float64]

_UNKNOWN_LENGTH: Final = 4096
_STAGES: Final = (1, 2, 4)


@dataclass(frozen=True, eq=False)
class Curve:
    """One frequency table.

    Attributes:
        label: When it holds, in words: `"up to 4,096 tokens"`; `""` where it always does.
        inv_freq: (pairs,), radians per position, without the sign of the direction.
        attention_factor: Multiplies cos and sin.
        seq_len: The sequence length that it was computed for, None where the length does not matter.
    """

    label: str
    inv_freq: Float64
    attention_factor: float
    seq_len: int | None = None

    @property
    def wavelengths(self) -> Float64:
        """Return the positions in one whole turn; inf for a pair that does not rotate."""
        return _divide(np.full(self.inv_freq.shape, 2 * np.pi), self.inv_freq)

    def divisors(self, unscaled: "Curve") -> Float64:
        """Return unscaled / scaled for every pair: 1 where it is kept, inf where it does not rotate."""
        return _divide(unscaled.inv_freq, self.inv_freq)

    def rotating_within(self, length: int) -> int:
        """Return how many pairs complete a whole rotate within that many positions."""
        return int(np.count_nonzero(self.wavelengths <= length))


def _divide(left: Float64, right: Float64) -> Float64:
    """Return left / right, inf where right is 0."""
    out = np.full(right.shape, np.inf)
    with np.errstate(over="ignore"):  # a wavelength beyond float64 is infinite, too
        np.divide(left, right, out=out, where=right > 0)
    return out


def curve(rope: RopeConfig, seq_len: int | None = None, label: str = "") -> Curve:
    """Return the table that holds for a sequence of seq_len tokens."""
    found = frequencies(rope, seq_len)
    return Curve(label, np.abs(found.inv_freq).astype(np.float64), found.attention_factor, seq_len)


def unscaled(rope: RopeConfig) -> Curve:
    """Return what the same base gives without scaling."""
    return curve(rope.replace(scaling=Default()), label="unscaled")


def curves(rope: RopeConfig) -> tuple[Curve, ...]:
    """Return every table worth drawing: both of LongRoPE, three stages of a growing one, else the only one."""
    if not rope.scaling.follows_length:
        return (curve(rope),)
    switch = rope.scaling.switch_length(rope)
    if switch is not None:
        return (
            curve(rope, switch, f"up to {switch:,} tokens"),
            curve(rope, switch + 1, f"beyond {switch:,} tokens"),
        )
    original = rope.original_length or _UNKNOWN_LENGTH
    return tuple(curve(rope, original * times, f"{original * times:,} tokens") for times in _STAGES)


def context_lengths(rope: RopeConfig) -> dict[str, int]:
    """Return the lengths that a wavelength is measured against, in words and tokens, ascending."""
    lengths = {}
    if rope.original_length is not None and rope.original_length != rope.max_position_embeddings:
        lengths["original"] = rope.original_length
    if rope.max_position_embeddings is not None:
        lengths["context"] = rope.max_position_embeddings
    return dict(sorted(lengths.items(), key=lambda item: item[1]))


def factors_by_length(rope: RopeConfig) -> tuple[list[int], list[float]]:
    """Return lengths, doubling and with both sides of a switch, and the attention factor at each."""
    longest = 2 * max([_UNKNOWN_LENGTH, *context_lengths(rope).values()])
    lengths = {1 << power for power in range(7, longest.bit_length())} | {longest}
    switch = rope.scaling.switch_length(rope)
    lengths |= set() if switch is None else {switch, switch + 1}
    return sorted(lengths), [curve(rope, length).attention_factor for length in sorted(lengths)]


def matched_keys(left: ModelRope, right: ModelRope) -> list[tuple[str, str]]:
    """Return the keys of ropes to compare: those of both models; where each has one rope, those two.

    Raises:
        RopeConfigError: There is no such pair.
    """
    if len(left.ropes) == len(right.ropes) == 1:
        return [(left.key(), right.key())]
    common = [(key, key) for key in left.ropes if key in right.ropes]
    if not common:
        raise RopeConfigError(f"no rope in common: {sorted(left.ropes)} against {sorted(right.ropes)}")
    return common


def rope_in_words(model: ModelRope, key: str) -> str:
    """Return one line: key, rope type, base, width, layout and layers."""
    words = f"{key}: rope_type {describe(model.ropes[key])}"
    layers = layers_in_words(model, key)
    return f"{words}, {layers}" if layers else words


def layers_in_words(model: ModelRope, key: str) -> str:
    """Return which layers have that rope: `"layers 0–31"`, `"10 of 62 layers: 5, 11, 17, …"`."""
    indices = [index for index, name in enumerate(model.layers) if name == key]
    if not indices:
        return ""
    if indices == list(range(len(model.layers))):
        return f"all {len(indices)} layers"
    shown = ", ".join(map(str, indices[:3])) + (", …" if len(indices) > 3 else "")
    return f"{len(indices)} of {len(model.layers)} layers: {shown}"


def channels_of_pair(rope: RopeConfig, pair: int) -> tuple[int, int]:
    """Return the two channels of the rotated part that a pair rotates.

    Raises:
        RopeConfigError: There is no such pair.
    """
    if not 0 <= pair < rope.pairs:
        raise RopeConfigError(f"pair must be in [0, {rope.pairs}), got {pair}")
    if rope.layout == "interleaved":
        return 2 * pair, 2 * pair + 1
    apart = rope.pairs if rope.layout == "half" else rope.pairs // 2  # "halves": each half is a head of its own
    first = pair // apart * 2 * apart + pair % apart
    return first, first + apart
