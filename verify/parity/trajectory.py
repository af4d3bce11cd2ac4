"""The life of one module whose frequencies follow the length: prefill, decode past the original length, a new sequence.

Under policy "row" each row has the frequencies of its own length, whatever came before. Under policy "transformers" the
longest row decides, and the module remembers; what it then holds is said here once more, apart from `rope.schedule`.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.schedule import POLICIES, Policy
from tightrope.verify.parity.cases import Call, Integers

_PREFILL: Final = 8


def trajectories(rope: RopeConfig, max_position: int | None = None) -> Iterator[tuple[Policy, tuple[Call, ...]]]:
    """Yield every beginning of a module's life, under each policy; only its last call is compared.

    Nothing for a rope whose frequencies do not follow the length, or where the life would pass max_position.
    """
    if not rope.scaling.follows_length:
        return
    steps = tuple(_steps(rope.require_original_length()))
    if max_position is not None and max(int(positions.max()) for _, positions in steps) >= max_position:
        return
    for policy in POLICIES:
        calls = tuple(_calls(rope, steps, policy))
        yield from ((policy, calls[: end + 1]) for end in range(len(calls)))


def _steps(original: int) -> Iterator[tuple[str, Integers]]:
    yield "prefill", _row(*range(max(0, original - 2 - _PREFILL), original - 2))
    yield "decode to the original length", _row(original - 1)
    yield "decode past it", _row(original)
    yield "growth", _row(2 * original)
    yield "back to just past it", _row(original + 1)
    yield "back to the original length", _row(original - 1)
    yield "a new sequence", _row(*range(_PREFILL))
    yield "a batch of short and long rows", np.array([[2, 3], [original - 2, original - 1], [original, 4 * original]])
    yield "a short row after it", _row(original + 1)


def _row(*positions: int) -> Integers:
    return np.array([positions], np.int64)


def _calls(rope: RopeConfig, steps: tuple[tuple[str, Integers], ...], policy: Policy) -> Iterator[Call]:
    held = rope.require_original_length()
    for name, positions in steps:
        if policy == "transformers":
            held = _held(rope, int(positions.max()) + 1, held)
        yield Call(name, positions, {"positions": positions}, length=held if policy == "transformers" else None)


def _held(rope: RopeConfig, longest: int, held: int) -> int:
    """Return the length whose frequencies transformers 5.23 holds after a batch of that longest row."""
    if rope.scaling.switch_length(rope) is not None:
        return longest  # LongRoPE chooses anew at every call
    if longest > held:
        return longest
    return rope.require_original_length() if longest < rope.require_original_length() else held
