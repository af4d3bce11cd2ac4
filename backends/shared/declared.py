"""The length of a sequence of which this process sees a part, declared for a block of code."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tightrope.backends.shared.arguments import Lengths, RowLengths, host_lengths
from tightrope.backends.shared.ops import Array, Ops
from tightrope.backends.shared.positions import Positions
from tightrope.rope.errors import RopeConfigError

_SHARDED: Final = (
    "the frequencies follow the length of the sequence, which is sharded (torch's context_parallel): no shard knows "
    "it; run the step within tightrope.sequence(length) or sequence(group=…), or give seq_len"
)
_COMPILED: Final = (
    "a compiled graph cannot ask the other processes for the length of the sequence: give tightrope.sequence(length), "
    "or compute angles outside the graph and pass them in"
)


@dataclass(frozen=True)
class Declared:
    """What a block of code was told: the lengths, or the group of processes that share the sequence."""

    lengths: list[int] | None
    group: object | None


class _Current:
    """Of the whole process, not of a thread: torch recomputes checkpoints, and runs replicas, in other threads."""

    declared: Declared | None = None


@contextmanager
def sequence(length: Lengths | None = None, *, group: object | None = None) -> Iterator[None]:
    """Within this block, say how long a sequence is of which each process holds a part.

    Where the frequencies follow the length (LongRoPE, dynamic NTK), a shard's positions do not tell it; every
    `RotaryEmbedding` and every patched model in the block takes it from here, unless a call gives `seq_len`. Ropes that
    do not follow the length are not concerned. It holds for all threads of the process, for forward and backward.

    Args:
        length: Tokens of the whole sequence (largest position + 1), for all rows or one per row.
        group: The processes that share the sequence, a torch ProcessGroup or 1-D DeviceMesh, or an mx.distributed
            Group: the largest position of all is taken, by a max-all-reduce at each computation of angles (two where
            there are several rows), so every process has to compute them. Not in a compiled graph.

    Raises:
        RopeConfigError: Neither or both are given, or a length is no whole number >= 0. Within the block: a shard holds
            a position beyond the length, or the processes have different numbers of rows.
    """
    if (length is None) == (group is None):
        raise RopeConfigError("sequence takes the length of the whole sequence or the group that shares it: give one")
    before = _Current.declared
    _Current.declared = Declared(None if length is None else host_lengths(length), group)
    try:
        yield
    finally:
        _Current.declared = before


def length_is_elsewhere(ops: Ops) -> bool:
    """Return whether positions do not tell the length here: it was declared, or the sequence is sharded."""
    return _Current.declared is not None or ops.sequence_is_sharded()


def declared_lengths(ops: Ops, positions: Positions, like: Array | None) -> RowLengths | None:
    """Return the lengths that hold in this block of code; None where nothing was declared.

    Raises:
        RopeConfigError: Nothing was declared, and the framework says that the sequence is sharded.
    """
    declared = _Current.declared
    if declared is None:
        if ops.sequence_is_sharded():
            ops.refuse(_SHARDED)
        return None
    if declared.group is None:
        return declared.lengths
    if ops.compiling():
        ops.refuse(_COMPILED)
    return _largest_of_group(ops, positions, declared.group, like)


def _largest_of_group(ops: Ops, positions: Positions, group: object, like: Array | None) -> list[int]:
    """Return the largest position + 1 of each row, over all processes; the same on each."""
    rows = positions.values.shape[1]
    # Python counts on where a narrow dtype would not.
    ends = [last + 1 for last in ops.numbers(ops.largest_by_row(positions.values))]
    most, fewest, longest = _largest(ops, [rows, -rows, max(ends, default=0)], group, like)
    if most != -fewest:
        # Every process finds it here, before anything whose size depends on it: none is left waiting.
        raise RopeConfigError(f"the processes of a group must have the same rows, got {-fewest} to {most} of them")
    return [longest] if rows == 1 else _largest(ops, ends, group, like)


def _largest(ops: Ops, numbers: list[int], group: Any, like: Array | None) -> list[int]:
    return ops.numbers(ops.largest_in_group(ops.from_numpy(np.array(numbers, np.int64), like), group))
