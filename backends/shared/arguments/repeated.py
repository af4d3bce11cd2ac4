"""Whether tables of cos and sin hold each angle once, as ours do, or twice, as transformers' do: only values tell.

Both kinds are (batch, seq, n). Where 2 n is no more than the width of q, such as n = 64 beside a head of 128 of which
64 channels rotate, no shape tells them apart, and the wrong kind rotates the wrong channels by wrong angles.
"""

import weakref
from collections.abc import Callable
from typing import Any, Final

from tightrope.backends.shared.arguments import REPEATED
from tightrope.backends.shared.ops import Array, Ops
from tightrope.rope.errors import RopeConfigError

# Tokens of a table that are read: enough to meet one that rotates in a batch padded to several times its length.
_READ: Final = 64

_ONCE, _HALVES, _NEIGHBOURS = 0, 1, 2


class RepeatedAngles:
    """Reads tables the first time they are seen, and refuses those of the wrong kind.

    A step passes one table to every layer: it is read once. Where reading waits for a device (a GPU), only the first of
    each width is read: a program builds all of its tables in one way.

    Args:
        ops: The framework.
        twice: Whether tables are to hold each angle twice, one half after the other.
    """

    def __init__(self, ops: Ops, *, twice: bool = False) -> None:
        self._ops = ops
        self._wanted = _HALVES if twice else _ONCE
        self._known: set[tuple[int, ...]] = set()
        self._last: Callable[[], Array | None] = lambda: None

    def check(self, q: Any, cos: Array, sin: Array) -> None:
        """Raise where the values show that tables are of the wrong kind.

        Tables that hold one angle for all pairs, such as that of position 0, are of both kinds. Nothing is said where
        there are no values to read: of a graph in the making, a function transform, a tensor without data.

        Args:
            q: What is rotated.
            cos: (…, seq, n).
            sin: As cos.
        """
        if self._ops.compiling() or cos is self._last() or not _even(self._ops, cos, sin):
            return
        if (waits := self._ops.waits(cos)) is None:
            return
        n = cos.shape[-1]
        kind = n, *getattr(q, "shape", ())[-1:]
        if not (waits and kind in self._known):
            # The last token mostly answers. A square picture's last patch has equal angles of both axes: then all do.
            found = _repetition(self._ops, cos[..., -1:, :])
            if found not in (_ONCE, self._wanted):
                step = 1 + cos.shape[-2] // _READ
                found = _repetition(self._ops, cos[..., ::step, :], sin[..., ::step, :])
            if found is None:
                return
            if found != self._wanted:
                raise _wrong(n, found)
            self._known.add(kind)
        self._last = weakref.ref(cos)


def _even(ops: Ops, cos: Array, sin: Array) -> bool:
    """Return whether these are tables of an even width; what else is wrong with them is said elsewhere."""
    if not (ops.is_array(cos) and ops.is_array(sin)):
        return False
    return len(cos.shape) >= 2 and cos.shape == sin.shape and cos.shape[-1] > 0 and cos.shape[-1] % 2 == 0


def _repetition(ops: Ops, *tables: Array) -> int | None:
    """Return how tables hold their angles; None where all of each token are one, or nothing can be read."""
    half = tables[0].shape[-1] // 2
    halves: Array = 1
    neighbours: Array = 1
    constant: Array = 1
    for part in tables:
        halves = halves * ops.int32((part[..., :half] == part[..., half:]).all())
        neighbours = neighbours * ops.int32((part[..., ::2] == part[..., 1::2]).all())
        constant = constant * ops.int32((part == part[..., :1]).all())
    try:
        code = ops.numbers((_HALVES * halves + _NEIGHBOURS * neighbours + 4 * constant).reshape(1))[0]
    except RopeConfigError:  # being traced
        return None
    return code if code in (_ONCE, _HALVES, _NEIGHBOURS) else None


def _wrong(n: int, found: int) -> RopeConfigError:
    if found == _HALVES:
        remedy = f"{REPEATED}; where they are the angles of two axes that are alike, give rotary_dim={2 * n}"
        return RopeConfigError(f"cos and sin must hold each angle once, got every one of {n // 2} twice; {remedy}")
    if found == _NEIGHBOURS:
        return RopeConfigError(
            f"cos and sin must not hold each angle twice side by side, got every one of {n // 2} so; "
            "call rotate(…, layout='interleaved') with cos[..., ::2] and sin[..., ::2]"
        )
    return RopeConfigError(
        f"cos and sin must hold each angle twice, one half after the other, got {n} angles; call rotate, which takes "
        "each angle once, and say the layout"
    )
