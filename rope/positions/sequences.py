"""Positions as numpy int64, for `positions=` of either backend.

Padded and packed batches, chunked prefill, rolling caches, and the shards of a sequence that several devices share;
for images, in separate modules, `multimodal_positions` (M-RoPE), `grid_positions` and, float32,
`centre_positions` (towers).
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tightrope.rope.errors import RopeConfigError
from tightrope.rope.positions.sharding import Int64, counts, sequence_starts
from tightrope.rope.support.validation import one_of, require, whole_number

Padding = Literal["left", "right"]


def padded(lengths: ArrayLike, *, side: Padding = "left", width: int | None = None) -> Int64:
    """Return the positions of a padded batch: (batch, width).

    Left padding stands at negative positions, right padding at its row's last one: a row's largest position + 1 stays
    its length, and nothing that pads decides which frequencies hold.

    Args:
        lengths: Tokens of each row, (batch,).
        side: Where the padding is.
        width: Columns; by default those of the longest row.

    Raises:
        RopeConfigError: Lengths are not whole numbers >= 0, or a row is longer than width.
    """
    require(one_of("side", side, ("left", "right")))
    rows = counts("lengths", lengths)
    columns = int(rows.max(initial=0)) if width is None else whole_number("width", width, 0)
    if (rows > columns).any():
        raise RopeConfigError(f"width must be >= the longest row ({rows.max()}), got {columns}")
    steps = np.arange(columns, dtype=np.int64)
    if side == "left":
        return steps - (columns - rows[:, None])
    return np.minimum(steps, rows[:, None] - 1)


class Packed(NamedTuple):
    """A packed batch, token by token.

    Attributes:
        positions: (tokens,), from 0 in every sequence.
        lengths: (tokens,): the length of the sequence that each token belongs to, for `seq_len`.
    """

    positions: Int64
    lengths: Int64


def packed(cu_seqlens: ArrayLike) -> Packed:
    """Return positions and lengths of sequences that lie one behind the other, order `"thd"`.

    Args:
        cu_seqlens: (sequences + 1,): where each sequence starts, and the number of tokens; from 0, not falling.

    Raises:
        RopeConfigError: cu_seqlens is not of that form.
    """
    starts = sequence_starts(cu_seqlens)
    lengths = np.diff(starts)
    positions = np.arange(starts[-1], dtype=np.int64) - np.repeat(starts[:-1], lengths)
    return Packed(positions, np.repeat(lengths, lengths))


def chunks(length: int, size: int, *, start: int = 0) -> tuple[Int64, ...]:
    """Return the positions of each chunk of a prefill: (size,) each, the last one shorter.

    Where frequencies follow the length, give `seq_len=start + length` with every chunk.

    Args:
        length: Tokens to prefill.
        size: Tokens of a chunk.
        start: The position of the first token.
    """
    length, size = whole_number("length", length, 0), whole_number("size", size, 1)
    start = whole_number("start", start)
    stop = start + length
    return tuple(np.arange(at, min(at + size, stop), dtype=np.int64) for at in range(start, stop, size))


def window(length: int, size: int, *, ring: bool = False) -> Int64:
    """Return the positions of the keys that a sliding window holds after `length` tokens: (min(length, size),).

    Positions stay global: the window slides over the keys, it does not renumber them.

    Args:
        length: Tokens seen so far.
        size: Keys that the window holds.
        ring: In the order of a ring buffer, in which position p lies in slot p mod size; else oldest first.
    """
    length, size = whole_number("length", length, 0), whole_number("size", size, 1)
    require(one_of("ring", ring, (True, False)))
    held = np.arange(max(0, length - size), length, dtype=np.int64)
    return np.roll(held, length % size) if ring and length > size else held
