"""MLX as compare, time and golden-file code sees it: devices and conversions, see `tightrope.backends.protocol`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version as _version
from typing import Any, Final

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from tightrope.backends.mlx.kernels import launch as kernel
from tightrope.backends.protocol import DTypeName
from tightrope.rope.reference import DTYPES

name: Final = "mlx"
version: Final[str] = _version("mlx")


def devices() -> tuple[str, ...]:
    """Return the devices that can be used here, the default one first."""
    return ("gpu", "cpu") if mx.is_available(mx.Device(mx.gpu)) else ("cpu",)


def dtypes(device: str) -> tuple[DTypeName, ...]:
    """Return the float dtypes that the device computes in."""
    common: tuple[DTypeName, ...] = DTYPES
    return ("float64", *common) if device == "cpu" else common


@contextmanager
def on(device: str) -> Iterator[None]:
    """Run what follows on this device."""
    with mx.stream(_device(device)):
        yield


def asarray(values: NDArray[Any], dtype: DTypeName, device: str) -> mx.array:
    """Return an array; floats are rounded to dtype, to nearest even."""
    with on(device):
        return mx.array(np.asarray(values, order="C")).astype(getattr(mx, dtype))


def to_numpy(array: mx.array) -> NDArray[Any]:
    """Return the values: float64 and integers as they are, narrower floats as float32."""
    narrow = mx.issubdtype(array.dtype, mx.floating) and array.dtype != mx.float64
    return np.array(array.astype(mx.float32) if narrow else array)


def synchronize(device: str) -> None:
    """Wait until everything that was started on the device is done."""
    mx.synchronize(mx.default_stream(_device(device)))


def path(device: str) -> str:
    """Return which code rotates there, in words."""
    with on(device):
        return kernel.language().NAME if kernel.serves() else "framework operations"


def _device(name: str) -> mx.Device:
    return mx.Device(mx.gpu if name.startswith("gpu") else mx.cpu)


def vjp(
    function: Callable[..., Any], inputs: Sequence[mx.array], cotangents: Sequence[mx.array]
) -> tuple[mx.array, ...]:
    """Return the gradients of Σ function(*inputs) · cotangents with respect to the inputs."""
    return tuple(mx.vjp(function, list(inputs), list(cotangents))[1])


def compiled(function: Callable[..., Any], device: str) -> Callable[..., Any]:
    """Return a function as the framework's compiler makes it: one graph, or it raises."""
    made: Callable[..., Any] = mx.compile(function)
    return made
