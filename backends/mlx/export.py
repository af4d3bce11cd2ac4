"""`exporting`: rotations that MLX can write to a file.

MLX 0.32 writes neither compiled functions nor functions with a custom derivative. Builds without Metal give a
sign that they export; Metal's gives none, so there the caller says so.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from threading import local
from typing import Any, Final, TypeVar, cast

import mlx.core as mx

_Function = TypeVar("_Function", bound=Callable[..., Any])

_ACTIVE: Final[ContextVar[bool]] = ContextVar("tightrope_mlx_exporting", default=False)


@contextmanager
def exporting() -> Iterator[None]:
    """Rotate by plain MLX operations within the block, so that `mx.export_function` and `mx.exporter` can write them.

    MLX with Metal needs it. Builds without Metal (Linux, CPU and CUDA) show that they export, and there rotations of
    the exported function's arrays are plain by themselves. The exported function returns the bits that operations
    return outside of the block. Holds for this thread or task alone; modules, `rotate` and patched models follow it.

        with exporting():
            mx.export_function("rotated.mlxfn", lambda q: rope(q, offset=3), q)
    """
    before = _ACTIVE.set(True)
    try:
        yield
    finally:
        _ACTIVE.reset(before)


def is_exporting() -> bool:
    """Return whether this code runs within `exporting`."""
    return _ACTIVE.get()


def shows_export(*arrays: mx.array) -> bool:
    """Return whether MLX shows that it is writing what is computed from these arrays to a file, or from constants."""
    sign = _sign()
    return sign is not None and (not arrays or is_traced(*arrays)) and _allowed(sign)


def compiled(function: _Function) -> _Function:
    """Return the function compiled for arrays of any length; where `is_exporting`, it runs as it is."""
    recorded = mx.compile(function, shapeless=True)

    @wraps(function)
    def chosen(*arrays: mx.array) -> Any:
        return function(*arrays) if is_exporting() else recorded(*arrays)

    return chosen  # type: ignore[return-value]  # wraps keeps the signature


def constant(array: mx.array) -> mx.array:
    """Return the array with its values, where it has some, for a file, which then does not say how they were computed.

    MLX writes a constant as it lies in memory, and past its end where it is a view that repeats elements: so it must
    be contiguous.
    """
    whole = mx.contiguous(array)
    try:
        mx.eval(whole)
    except ValueError:  # it depends on the inputs of the exported function
        return array
    return whole


def is_traced(*arrays: mx.array) -> bool:
    """Return whether a transformation (`mx.compile`, `mx.grad`, `mx.vmap`, an export) follows one of the arrays."""
    # MLX enters a compiled function for arrays that it follows, for others only once a rank and dtype.
    return _enters(arrays) and _enters(arrays)


def _enters(arrays: tuple[mx.array, ...]) -> bool:
    _PROBE.entered = False
    _probe(*arrays)
    return bool(_PROBE.entered)


def _body(*arrays: mx.array) -> mx.array:
    _PROBE.entered = True
    return arrays[0]


_PROBE: Final = local()
_probe: Final[Any] = mx.compile(_body, shapeless=True)


def _allowed(sign: Callable[..., object]) -> bool:
    try:
        sign(inputs=[], output_shapes=[(1,)], output_dtypes=[mx.uint8], grid=(1, 1, 1), threadgroup=(1, 1, 1))
    except RuntimeError:
        return False
    return True


@cache
def _sign() -> Callable[..., object] | None:
    """Return what MLX without Metal allows in an export alone: a Metal kernel, for a file that a Mac will run."""
    if mx.metal.is_available():
        return None
    made: Any = mx.fast.metal_kernel(name="tightrope_sign", input_names=[], output_names=["out"], source="out[0] = 0;")
    return cast(Callable[..., object], made)
