"""Kernel texts that several hosts share, and the compiled C kernel where the installation could build it."""

from importlib import import_module
from typing import Any, Protocol, TypeAlias, cast

Tensor: TypeAlias = Any
"""A tensor of a type that describes itself to C, or the tuple (address, dtype, shape, strides): see view.h."""


class CpuExtension(Protocol):
    """The C extension; see module.c."""

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


def load_cpu() -> CpuExtension | None:
    """Return the C extension, None where it was not built or the processor has no fused multiply-add."""
    try:
        extension = cast(CpuExtension, import_module("tightrope.backends.kernels._cpu"))
    except ImportError:
        return None
    return extension if extension.variants else None
