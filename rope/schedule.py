"""Which frequencies hold for a sequence length: a small pure state machine, the same for every backend.

Rope types that do not follow the length have one table of frequencies. Those that switch (LongRoPE) have two, and a
backend chooses between them on the device. All others (dynamic NTK, registered types) have a table per length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.support.validation import instance, one_of, require, whole_number

Policy = Literal["row", "transformers"]
Switch = Literal["auto", "short", "long"]

POLICIES: Final[tuple[Policy, ...]] = ("row", "transformers")
SWITCHES: Final[tuple[Switch, ...]] = ("auto", "short", "long")

_REMEMBERED: Final = 4096


def document_lengths(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each token of (batch, seq), the largest position + 1 of its document.

    A document ends where the next position is not larger: rows into which several are packed restart so.
    """
    rows, seq = positions.shape
    last = np.concatenate((positions[:, 1:] <= positions[:, :-1], np.ones((rows, 1), np.bool_)), axis=-1)[:, :seq]
    ends = np.minimum.accumulate(np.where(last, np.arange(seq), seq)[:, ::-1], axis=-1)[:, ::-1]
    return np.take_along_axis(positions, ends, axis=-1) + 1


@dataclass(frozen=True)
class TableChoice:
    """Which table of frequencies each batch row takes.

    Attributes:
        lengths: What `frequencies` needs for each table: a sequence length, None for a type that does not follow it.
        rows: For each row an index into lengths; None where all rows take the first.
    """

    lengths: tuple[int | None, ...]
    rows: tuple[int, ...] | None = None


@dataclass(frozen=True)
class FrequencySchedule:
    """The frequencies of one rope as its sequences grow and shrink.

    Attributes:
        config: The rope.
        policy: `"row"`: each row by its own length, each document of a packed row by its own (`document_lengths`); no
            history, no influence of batch mates.
            `"transformers"`: all rows by the longest; the table grows with it, stays when a shorter batch comes, and
            is reset by one shorter than the original length, as transformers 5.23's `dynamic_rope_update` has it.
        switch: For types with two tables: `"auto"` chooses by length, `"short"` and `"long"` once and for all.
    """

    config: RopeConfig
    policy: Policy = "row"
    switch: Switch = "auto"

    def __post_init__(self) -> None:
        require(self._problems())

    def _problems(self) -> Iterator[str]:
        yield from instance("config", self.config, RopeConfig, "a RopeConfig, such as model.rope()")
        yield from one_of("policy", self.policy, POLICIES)
        yield from one_of("switch", self.switch, SWITCHES)

    @cached_property
    def fixed(self) -> TableChoice | None:
        """The plan where it never changes: static types, and types with two tables when one was chosen."""
        if not self.config.scaling.follows_length:
            return TableChoice((None,))
        boundary = self.config.scaling.switch_length(self.config)
        if boundary is None or self.switch == "auto":
            return None
        return TableChoice((boundary if self.switch == "short" else boundary + 1,))

    @cached_property
    def boundary(self) -> int | None:
        """L where two tables hold, `tables` at and below L tokens the first and beyond it the second; else None."""
        return None if self.fixed else self.config.scaling.switch_length(self.config)

    @cached_property
    def start(self) -> int | None:
        """The state before the first call: the length whose table holds. None where there is no state."""
        if self.policy == "row" or self.fixed or self.boundary is not None:
            return None
        return self.config.original_length or 0

    def plan(self, lengths: Sequence[int], state: int | None) -> tuple[TableChoice, int | None]:
        """Return which table each row takes, and the state after this call.

        Args:
            lengths: Tokens in each row's context (its largest position + 1).
            state: What the call before returned; `start` at first.
        """
        if self.fixed:
            return self.fixed, state
        if self.policy == "row":
            return self.by_row(lengths), state
        longest = whole_number("a length", max(lengths, default=0))
        if self.boundary is None:
            state = longest = self._grown(longest, state or 0)
        return TableChoice((self._key(longest),)), state

    def by_row(self, lengths: Sequence[int]) -> TableChoice:
        """Return the tables of policy "row": each row by its own length, whatever was before."""
        if self.fixed:
            return self.fixed
        try:
            keys = list(map(self._keys.__getitem__, lengths))
        except KeyError:
            keys = self._learned(lengths)
        tables = dict.fromkeys(keys)
        if len(tables) <= 1:
            return TableChoice(tuple(tables) or (self._key(0),))
        if 2 * len(tables) > len(keys):  # a table for each row costs less than finding those that share one
            return TableChoice(tuple(keys), tuple(range(len(keys))))
        index = dict(zip(tables, range(len(tables)), strict=True))
        return TableChoice(tuple(tables), tuple(map(index.__getitem__, keys)))

    @cached_property
    def _keys(self) -> dict[int, int | None]:
        """What `_key` returned for lengths seen before; a step asks for hundreds, most of them known."""
        return {}

    def _learned(self, lengths: Sequence[int]) -> list[int | None]:
        keys = {length: self._key(length) for length in set(lengths)}
        if len(self._keys) > _REMEMBERED:
            self._keys.clear()
        self._keys.update(keys)
        return [keys[length] for length in lengths]

    def _key(self, length: int) -> int | None:
        return self.config.scaling.effective_length(self.config, max(whole_number("a length", length), 0))

    def _grown(self, longest: int, held: int) -> int:
        """Return the length whose table holds after a batch whose longest row has that many tokens."""
        original = self.config.original_length or 0
        if longest > held:
            return longest
        return original if longest < original else held
