"""Kernel texts that several hosts share, and the compiled C kernel where the installation could build it."""

import warnings
from functools import cache
from importlib import import_module
from typing import Any, Final, Protocol, TypeAlias, cast

from tightrope.rope.support.extras import reinstall_command

INTERFACE: Final = 1
"""Number of the C extension's interface: its arguments, their order, the numbers of dtypes, layouts and orders.

It grows with any of them, here and in module.c together. An extension that was built for another number would read
memory that it was not given.
"""
STALE: Final = "it was built for another version of Tightrope, and must be built again"

Tensor: TypeAlias = Any
"""A tensor of a type that describes itself to C, or the tuple (address, dtype, shape, strides): see view.h."""


class CpuExtension(Protocol):
    """The C extension; see module.c."""

    interface: int
    """The `INTERFACE` that it was built for."""

    variants: tuple[str, ...]
    """The instruction sets that run on this processor, the fastest first; empty where none does."""

    def rotate(
        self, variant: int, pairs: int, layout: int, tail: bool, order: int, transpose: bool, threads: int,
        xs: tuple[Tensor, ...], outs: tuple[Tensor, ...], /, *angles: Tensor | None,
    ) -> None:  # fmt: skip
        """Rotate one or two tensors by cos and sin, or by positions, turns, gains, rows and axes.

        Raises:
            TypeError, ValueError: The tensors do not fit one another, or cos and sin are not float32, the pairs side by
                side; nothing was written.
        """

    def cos_sin(self, variant: int, threads: int, /, *phase_and_table: Tensor | None) -> None:
        """Write cos and sin of positions, turns, gains, rows and axes to the two tensors that follow."""


@cache
def load_cpu() -> CpuExtension | None:
    """Return the C extension; None where there is none for this version, or the processor has no fused multiply-add.

    Warns:
        RuntimeWarning: Once, where it was built for another version.
    """
    try:
        extension = cast(CpuExtension, import_module("tightrope.backends.kernels._cpu"))
    except ImportError:
        return None
    if is_stale(extension):
        warnings.warn(f"the C kernel is not used: {STALE}; {reinstall_command()}", RuntimeWarning, stacklevel=2)
        return None
    return extension if extension.variants else None


def is_stale(extension: object) -> bool:
    """Return whether the extension was built for another interface than this code calls."""
    return getattr(extension, "interface", None) != INTERFACE
