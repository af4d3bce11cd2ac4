"""What a backend supplies for transformers' names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tightrope.backends.shared.ops import Array, Ops


class Framework(ABC):
    """A framework's operations, rotary module and `rotate`."""

    ops: ClassVar[Ops]
    rotary: ClassVar[Any]
    rotate: ClassVar[Callable[..., Any]]

    @abstractmethod
    def concatenate(self, arrays: Sequence[Array]) -> Array:
        """Return arrays joined along their last axis."""

    @abstractmethod
    def interleave(self, first: Array, second: Array) -> Array:
        """Return channels taken from two arrays in turn along the last axis."""

    @abstractmethod
    def parts(self, array: Array) -> tuple[Array, Array]:
        """Return the real and the imaginary part."""

    @abstractmethod
    def on_device(self, array: NDArray[np.float32], device: Any) -> Array:
        """Return the values on a device, None: the default one."""

    @abstractmethod
    def assign(self, module: Any, name: str, value: Array) -> None:
        """Set an attribute of a module that is neither trained nor saved."""
