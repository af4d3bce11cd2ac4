"""PyTorch as compare, time and golden-file code sees it: devices and conversions, see `tightrope.backends.protocol`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from tightrope.backends.protocol import DTypeName
from tightrope.backends.torch.kernels import cpu as native
from tightrope.backends.torch.kernels import gpu
from tightrope.rope.reference import DTYPES

name: Final = "torch"
version: Final[str] = torch.__version__


def devices() -> tuple[str, ...]:
    """Return the devices that can be used here, the default one first."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return (*cuda, *mps, "cpu")


def dtypes(device: str) -> tuple[DTypeName, ...]:
    """Return the float dtypes that the device computes in."""
    common: tuple[DTypeName, ...] = DTYPES
    return common if device.startswith("mps") else ("float64", *common)


@contextmanager
def on(device: str) -> Iterator[None]:
    """Run what follows on this device."""
    with torch.device(device):
        yield


def asarray(values: NDArray[Any], dtype: DTypeName, device: str) -> torch.Tensor:
    """Return a tensor; floats are rounded to dtype, to nearest even."""
    # A copy: numpy arrays may be read-only or have negative strides, which torch does not take.
    return torch.from_numpy(np.array(values)).to(getattr(torch, dtype)).to(device)


def to_numpy(array: torch.Tensor) -> NDArray[Any]:
    """Return the values: float64 and integers as they are, narrower floats as float32."""
    array = array.detach().cpu()
    narrow = array.is_floating_point() and array.dtype != torch.float64
    values: NDArray[Any] = (array.to(torch.float32) if narrow else array).numpy()
    return values


def synchronize(device: str) -> None:
    """Wait until everything that was started on the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()


def path(device: str) -> str:
    """Return which code rotates there, in words."""
    return native.path() if device == "cpu" else gpu.path(device)


def vjp(
    function: Callable[..., Any], inputs: Sequence[torch.Tensor], cotangents: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, ...]:
    """Return the gradients of Σ function(*inputs) · cotangents with respect to the inputs."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    with torch.enable_grad():
        results = function(*leaves)
        outputs = results if isinstance(results, tuple) else (results,)
        return torch.autograd.grad(outputs, leaves, list(cotangents))


def compiled(function: Callable[..., Any], device: str) -> Callable[..., Any]:
    """Return a function as the framework's compiler makes it: one graph, or it raises."""
    torch.compiler.reset()  # or graphs that were made before would count against PyTorch's limit for one function
    # Inductor makes C++ for a CPU, and not every machine that has one has a compiler.
    made: Callable[..., Any] = torch.compile(
        function, fullgraph=True, backend="aot_eager" if device == "cpu" else "inductor"
    )
    return made
