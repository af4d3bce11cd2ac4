"""Kernel texts that several hosts share, and the compiled C kernel where the installation could build it."""

from importlib import import_module
from typing import Protocol, cast


class CpuKernel(Protocol):
    """The C extension: addresses, shapes and strides (in elements) as plain integers; see module.c and job.h."""

    variants: tuple[str, ...]
    """The instruction sets that run on this processor, the fastest first; empty where none does."""

    def rotate(
        self,
        variant: int,
        dtype: int,
        layout: int,
        transpose: bool,
        threads: int,
        shape: tuple[int, int, int],
        table: tuple[int, ...] | None,
        phase: tuple[int, ...] | None,
        q: tuple[int, ...],
        k: tuple[int, ...] | None,
        /,
    ) -> None:
        """Turn q and k by the angles of `table` or of `phase`; shape is (batch, seq, pairs)."""

    def cos_sin(
        self, variant: int, threads: int, shape: tuple[int, int, int], phase: tuple[int, ...], table: tuple[int, ...], /
    ) -> None:
        """Write cos and sin of `phase` to the addresses in `table`."""


def load_cpu() -> CpuKernel | None:
    """Return the C extension, None where it was not built or the processor has no fused multiply-add."""
    try:
        extension = cast(CpuKernel, import_module("tightrope.backends.kernels._cpu"))
    except ImportError:
        return None
    return extension if extension.variants else None
