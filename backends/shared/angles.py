"""The two sources from which a kernel takes its angles, and which channels it rotates. Knows no framework."""

from dataclasses import dataclass
from typing import Any

from tightrope.rope.config.terms import Side


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Phase:
    """Positions and frequencies: the kernel computes exact phases, cos and sin itself.

    Attributes:
        positions: (axes, batch, seq), int32 or int64, any strides (0 where broadcast).
        turns: (tables, pairs) int64, contiguous: the bits of `rope.phase.turns`, a table per row or one for all.
        attention_factors: (tables,) float32: the attention factor that belongs to each table.
        rows: (batch,) int32: which table each row takes; None: the first.
        axes: (pairs,) int32: which axis rotates each pair (M-RoPE); None: the first.
        unscaled: Every gain is known to be 1, and may be left out.
    """

    positions: Any
    turns: Any
    attention_factors: Any
    rows: Any = None
    axes: Any = None
    unscaled: bool = False

    @property
    def pairs(self) -> int:
        """The number of rotated pairs."""
        return int(self.turns.shape[-1])

    @property
    def batch(self) -> int:
        """The number of rows that positions differ in; 1 also where they hold for all."""
        return int(self.positions.shape[1])


@dataclass(frozen=True, eq=False, kw_only=True, slots=True)
class Table:
    """Given angles.

    Attributes:
        cos, sin: (batch, seq, pairs) float32, any strides (0 where broadcast); the attention factor is in them.
    """

    cos: Any
    sin: Any

    @property
    def pairs(self) -> int:
        """The number of rotated pairs."""
        return int(self.cos.shape[-1])

    @property
    def batch(self) -> int:
        """The number of rows that the angles differ in; 1 also where they hold for all."""
        return int(self.cos.shape[0])


def rotated_start(width: int, pairs: int, side: Side) -> int:
    """Return the first rotated channel of a tensor of this width."""
    return 0 if side == "head" else width - 2 * pairs
