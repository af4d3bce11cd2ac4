"""What a backend offers. A backend is a package of this folder whose module fits `Backend`.

The compare, time and golden-file code reaches a framework only through these names, with numpy on its side.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from tightrope.backends.shared.rotary import RotaryBase

DTypeName = Literal["float64", "float32", "bfloat16", "float16", "int64", "int32"]


class Backend(Protocol):
    """A framework on this machine."""

    name: str
    """`"torch"`, `"mlx"`: the name of the package and of the extra that installs it."""
    version: str
    """The framework's version."""

    RotaryEmbedding: type[RotaryBase]
    """The rotary module: `RotaryEmbedding(model_or_config, precision="exact", policy="row", switch="auto")`."""
    rotate: Callable[..., Any]
    """`rotate(q, k=None, *, cos, sin, layout, side="head", order="bhsd", transpose=False, rotary_dim=None)`."""

    def devices(self) -> tuple[str, ...]:
        """Return the devices that can be used here, the default one first: `("cuda:0", "cpu")`."""

    def dtypes(self, device: str) -> tuple[DTypeName, ...]:
        """Return the float dtypes that the device computes in."""

    def on(self, device: str) -> AbstractContextManager[None]:
        """Run what follows on this device."""

    def asarray(self, values: NDArray[Any], dtype: DTypeName, device: str) -> Any:
        """Return a framework array; floats are rounded to dtype, to nearest even."""

    def to_numpy(self, array: Any) -> NDArray[Any]:
        """Return the values: float64 and integers as they are, narrower floats as float32."""

    def vjp(self, function: Callable[..., Any], inputs: Sequence[Any], cotangents: Sequence[Any]) -> tuple[Any, ...]:
        """Return the gradients of Σ function(*inputs) · cotangents with respect to the inputs."""

    def compiled(self, function: Callable[..., Any], device: str) -> Callable[..., Any]:
        """Return a function of arrays as the framework's compiler makes it for a device: one graph, or it raises."""

    def synchronize(self, device: str) -> None:
        """Wait until everything that was started on the device is done."""

    def path(self, device: str) -> str:
        """Return which code rotates there, in words: `"framework operations"`, `"C (avx512)"`, `"Triton"`."""
