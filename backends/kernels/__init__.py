"""Kernel texts that several hosts share, and the compiled C kernel where the installation could build it."""

from importlib import import_module
from typing import Any, Protocol, TypeAlias, cast

Numbers: TypeAlias = tuple[Any, ...]
"""Addresses, shapes and strides (in elements) of a tensor or of its angles; see the parse functions of module.c."""


class CpuKernel(Protocol):
    """The C extension; see module.c."""

    variants: tuple[str, ...]
    """The instruction sets that run on this processor, the fastest first; empty where none does."""

    def rotate(
        self,
        variant: int,
        layout: int,
        tail: bool,
        order: int,
        transpose: bool,
        threads: int,
        table: Numbers | None,
        phase: Numbers | None,
        heads: tuple[Numbers, ...],
        /,
    ) -> None:
        """Turn one or two tensors by the angles of `table` or of `phase`."""

    def cos_sin(self, variant: int, threads: int, phase: Numbers, table: Numbers, /) -> None:
        """Write cos and sin of `phase` to `table`."""


def load_cpu() -> CpuKernel | None:
    """Return the C extension, None where it was not built or the processor has no fused multiply-add."""
    try:
        extension = cast(CpuKernel, import_module("tightrope.backends.kernels._cpu"))
    except ImportError:
        return None
    return extension if extension.variants else None
