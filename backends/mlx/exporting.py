"""`exporting`: rotations that MLX can write to a file.

MLX 0.32 writes neither compiled functions nor functions with a derivative of their own, and it does not say what a
function is traced for: so the caller does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, TypeVar

import mlx.core as mx

_Function = TypeVar("_Function", bound=Callable[..., Any])

_ACTIVE: Final[ContextVar[bool]] = ContextVar("tightrope_mlx_exporting", default=False)


@contextmanager
def exporting() -> Iterator[None]:
    """Rotate by plain MLX operations within the block, so that `mx.export_function` and `mx.exporter` can write them.

    The exported function returns the bits that operations return outside of the block. Holds for this thread or task
    alone; modules, `rotate` and patched models all follow it. Angles that the function holds from before are evaluated
    first: `mx.eval(cos, sin)`.

        with exporting():
            mx.export_function("rotated.mlxfn", lambda q: rope(q, offset=3), q)
    """
    before = _ACTIVE.set(True)
    try:
        yield
    finally:
        _ACTIVE.reset(before)


def is_exporting() -> bool:
    """Say whether this code runs within `exporting`."""
    return _ACTIVE.get()


def compiled(function: _Function) -> _Function:
    """Return the function compiled for arrays of any length; within `exporting`, it runs as it is."""
    recorded = mx.compile(function, shapeless=True)

    @wraps(function)
    def chosen(*arrays: mx.array) -> Any:
        return function(*arrays) if is_exporting() else recorded(*arrays)

    return chosen  # type: ignore[return-value]  # wraps keeps the signature
