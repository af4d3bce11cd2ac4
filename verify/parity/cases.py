"""Which calls are compared for a rope: a plan, made without any framework.

Positions reach from 0 to the model's own length and to 1 M; where the frequencies follow the sequence, also up to the
original length, one token past it, and a batch that mixes such rows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from tightrope.backends.shared.ops import Order
from tightrope.rope.config.rope import RopeConfig

Integers = NDArray[np.int64]

FAR: Final = 1 << 20
SHORTEST: Final = 16
_SAMPLES: Final = 256
_BATCH: Final = 2
_SEQ: Final = 8
_FIRST: Final = 5  # the smallest offset: two tokens before it stay non-negative


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a rotary module.

    Attributes:
        name: What is special about it, in words.
        positions: What it means: (batch, seq), or (axes, batch, seq).
        said: How it is said: the arguments `positions`, `offset` or `seq_len`.
        order: The order of axes of q and k.
        form: `"both"` q and k; `"alone"` q without k; `"angles"` with angles that were computed before.
        group: Under which a table lists it.
        length: The length whose frequencies hold for every row; by default what is said, or each row's own.
    """

    name: str
    positions: Integers
    said: Mapping[str, Any] = field(default_factory=dict)
    order: Order = "bhsd"
    form: Literal["both", "alone", "angles"] = "both"
    group: str = ""
    length: int | None = None

    @property
    def seq_len(self) -> int | None:
        """The length whose frequencies hold for every row, None where it is each row's own."""
        said: int | None = self.said.get("seq_len")
        return said if self.length is None else self.length


def lengths(rope: RopeConfig, max_position: int | None = None) -> tuple[int, ...]:
    """Return the context lengths to compare at, in tokens, ascending; none is longer than max_position."""
    wanted = {FAR, rope.max_position_embeddings or FAR}
    if rope.scaling.follows_length:
        original = rope.require_original_length()
        wanted |= {original, original + 1}
    longest = max(max_position or max(wanted), SHORTEST)
    return tuple(sorted({max(SHORTEST, min(length, longest)) for length in wanted}))


def angle_calls(rope: RopeConfig, lengths: tuple[int, ...]) -> Iterator[Call]:
    """Yield positions up to each length; where several axes are declared, different ones on each."""
    for length in lengths:
        below = _below(length)
        positions = _sample(length, (1, _SAMPLES))
        yield Call(below, positions, {"positions": positions}, group=below)
        if rope.axes > 1:
            positions = _sample(length, (rope.axes, 1, _SAMPLES))
            yield Call(f"{below} on {rope.axes} axes", positions, {"positions": positions}, group=below)
    if rope.scaling.follows_length:
        yield from _length_calls(lengths)


def _below(length: int) -> str:
    return f"< {length:,}"


def _length_calls(lengths: tuple[int, ...]) -> Iterator[Call]:
    rows = np.concatenate([_sample(length, (1, _SAMPLES)) for length in lengths])
    yield Call("rows of different lengths", rows, {"positions": rows}, group="mixed lengths")
    for length in lengths:
        early = _sample(min(lengths), (1, _SAMPLES))
        yield Call(f"seq_len {length:,}", early, {"positions": early, "seq_len": length}, group=_below(length))


def rotation_calls(rope: RopeConfig, lengths: tuple[int, ...]) -> Iterator[Call]:
    """Yield every way to say positions, with prefill and decode, at every length."""
    for length in lengths:
        yield _offset_call(length)
    far = max(lengths)
    last = _rows([far - 1], 1)
    yield Call("decode, q alone", last, {"offset": far - 1}, form="alone")
    offsets = np.array([-_FIRST, far - _SEQ])
    yield Call("one offset per row", _rows(offsets, _SEQ), {"offset": offsets}, order="bshd")
    shuffled = _sample(far, (_BATCH, _SEQ))
    yield Call("positions (batch, seq)", shuffled, {"positions": shuffled})
    yield Call("angles computed before", shuffled, {"positions": shuffled}, form="angles")
    yield Call("positions (seq,)", shuffled[:1].repeat(_BATCH, 0), {"positions": shuffled[0]}, order="bshd")
    yield Call("packed tokens", shuffled[:1], {"positions": shuffled[0]}, order="thd")
    if rope.axes > 1:
        grid = _sample(far, (rope.axes, _BATCH, _SEQ))
        yield Call("positions (axes, batch, seq)", grid, {"positions": grid})


def _offset_call(length: int) -> Call:
    return Call(f"offset {length - _SEQ:,}", _rows([length - _SEQ] * _BATCH, _SEQ), {"offset": length - _SEQ})


def probe_calls(rope: RopeConfig, lengths: tuple[int, ...], shifts: tuple[int, ...]) -> Iterator[Call]:
    """Yield the positions −2 ** shift, one call for each length of a rope that follows it.

    They are negative so that a length can be stated that is shorter than the step.
    """
    positions = np.array([[-(1 << shift) for shift in shifts]])
    if not rope.scaling.follows_length:
        yield Call("", positions, {"positions": positions})
        return
    for length in lengths:
        yield Call(f"seq_len {length:,}", positions, {"positions": positions, "seq_len": length})


def _rows(offsets: Any, seq: int) -> Integers:
    return np.asarray(offsets, np.int64)[:, None] + np.arange(seq)


def _sample(length: int, shape: tuple[int, ...]) -> Integers:
    """Positions in [0, length), repeated and out of order, the last one in every row."""
    rng = np.random.default_rng(length)
    drawn = rng.integers(0, length, shape)
    # Half of them near 0, where most of the contexts are.
    drawn[..., ::2] = np.floor(length ** rng.random(drawn[..., ::2].shape)) - 1
    drawn[..., 0], drawn[..., -1] = 0, length - 1
    return drawn
