"""What was measured: a row for each contender, and JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tightrope.backends.shared.ops import Order
from tightrope.rope.config.terms import Layout
from tightrope.verify.timing.work import Task


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contender's figures.

    Attributes:
        backend, device, path: Where it ran; for Tightrope also which code.
        processor: Of the host, see `processor`.
        task, dtype, seq, heads, kv_heads, order: What was timed, see `Work`.
        layout, rotary_dim, head_dim: The rope, see `RopeConfig`.
        contender: `"tightrope"`, the yardstick `"copy"`, or a library.
        remark: What a library does differently from the task; `""`: nothing.
        seconds: Median over rounds of one call.
        minimum, maximum: The fastest and the slowest round's.
        ratio: Median over rounds of its time by the yardstick's in the same round.
        share: Bandwidth as a share of the yardstick's: the bytes that the task must move, over time.
        peak: Bytes held at once beyond what was there before the call; None where nothing tells.
    """

    backend: str
    device: str
    path: str
    processor: str
    task: Task
    dtype: str
    seq: int
    heads: int
    kv_heads: int
    order: Order
    layout: Layout
    rotary_dim: int
    head_dim: int
    contender: str
    remark: str
    seconds: float
    minimum: float
    maximum: float
    ratio: float
    share: float
    peak: int | None

    @property
    def who(self) -> str:
        """The contender, and what is to know about it."""
        known = ", ".join(filter(None, (self.path, self.remark)))
        return f"{self.contender} ({known})" if known else self.contender

    @property
    def pairs(self) -> str:
        """Which channels form a pair, and how many of them turn where not all do."""
        some = f", {self.rotary_dim} of {self.head_dim}" if self.rotary_dim < self.head_dim else ""
        return f"{self.layout}{some}"


def as_dicts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows as plain dictionaries, for JSON."""
    return [dict(vars(row)) for row in rows]
