"""What is timed, and what a backend's module `contenders` offers for it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from tightrope.backends.shared.ops import Order
from tightrope.rope.config.rope import RopeConfig

Task = Literal["in place", "new tensors", "with gradient", "by position", "angles"]
TASKS: Final[tuple[Task, ...]] = get_args(Task)

YARDSTICK: Final = "copy"
"""Reads and writes as many bytes as the task must at least; every ratio is to it."""
OURS: Final = "tightrope"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is timed: one call, from Python.

    Attributes:
        task: `"in place"`: q and k rotated where they lie, by cos and sin that are given. `"new tensors"`: the same
            into new ones. `"with gradient"`: the same and back, on MLX compiled as a training step is. `"by position"`:
            into new tensors, cos and sin computed on the way. `"angles"`: cos and sin from positions, alone.
        dtype: Of q and k.
        seq: Tokens.
        heads, kv_heads: Of q and of k.
        order: How q and k lie in memory.
        compiled: Whether libraries are also timed after their framework's compiler went over them.
    """

    task: Task
    dtype: str
    seq: int
    heads: int = 32
    kv_heads: int = 8
    order: Order = "bhsd"
    compiled: bool = False


@dataclass(frozen=True)
class Contender:
    """Somebody who can do some work.

    Attributes:
        call: Does it once.
        remark: What differs from the task; `""`: nothing.
    """

    call: Callable[[], object]
    remark: str = ""


class Contenders(Protocol):
    """What a backend's module `contenders` offers."""

    def contenders(self, work: Work, rope: RopeConfig, device: str) -> Mapping[str, Contender]:
        """Return who can do this work, by name, the yardstick first. Empty: nobody."""

    def absent(self, work: Work, rope: RopeConfig, device: str) -> Mapping[str, str]:
        """Return the libraries that do not take part, with the reason."""

    def on(self, device: str) -> AbstractContextManager[object]:
        """Run what follows on this device, at no cost to a call."""

    def peak(self, call: Callable[[], object], device: str) -> int | None:
        """Return how many bytes a call held at once beyond what was there before; None where nothing tells."""
