"""Calls that come again are replayed: a graph that MLX recorded, in place of the Python that built it.

A call by position passes through some sixty Python functions; the graph that they build depends on nothing but shapes
and dtypes. The second call of a kind is recorded by `mx.compile`, and each one after it enters no Python function.
Under a transformation (a gradient, `mx.vmap`, `mx.compile`) MLX runs the recorded function itself instead.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from threading import Lock
from typing import Any, Final

import mlx.core as mx

# Beyond so many elements the work takes longer on a CPU than the Python around it.
LARGEST: Final = 2**18
# Kinds of calls that are remembered: decode steps of many batches, and some short prompts.
_REMEMBERED: Final = 64

Graph = Callable[[Any], Callable[..., Any]]


class Replays:
    """Functions that were recorded, by the kind of call: whatever the graph depends on, shapes and dtypes included.

    A copy, also through pickle, begins anew.
    """

    def __init__(self) -> None:
        self._recorded: OrderedDict[Hashable, Callable[..., Any] | None] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Replays, ()

    def __call__(self, kind: Hashable, graph: Callable[[Any], Callable[..., Any]], arrays: Sequence[mx.array]) -> Any:
        """Return graph(kind)(*arrays), replayed; None, nothing done, at the first call of its kind.

        Args:
            kind: With the arrays' shapes and dtypes, all that the result depends on.
            graph: Returns the function of the arrays; that must not depend on their values.
            arrays: What varies from call to call.
        """
        key = (kind, mx.default_device().type is mx.gpu, *[(x.shape, x.dtype) for x in arrays])
        recorded = self._recorded.get(key)
        if recorded is None:
            with self._lock:
                known = key in self._recorded
                recorded = self._recorded[key] = mx.compile(graph(kind)) if known else None
                while len(self._recorded) > _REMEMBERED:
                    self._recorded.popitem(last=False)
        return None if recorded is None else recorded(*arrays)
