"""The C kernel on CPU tensors: bit for bit what `rope.reference` defines.

It is called directly, past PyTorch's dispatcher, wherever nobody watches the call (`serving`).
A traced graph holds it as operators (`tightrope.backends.torch.custom_ops`).
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch._C import _are_functorch_transforms_active as _transforming
from torch._C import _get_tracing_state as _tracing
from torch._C import _len_torch_dispatch_stack as _dispatch_modes
from torch.autograd import forward_ad

from tightrope.backends.kernels import CpuExtension, Tensor, load_cpu
from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.ops import Order
from tightrope.rope.config.terms import Layout, Side
from tightrope.rope.errors import RopeConfigError

_FLOAT32: Final = torch.float32
_STRIDED: Final = torch.strided
DTYPES: Final = frozenset({_FLOAT32, torch.bfloat16, torch.float16})
_NUMBERS: Final = {_FLOAT32: 0, torch.bfloat16: 1, torch.float16: 2, torch.int32: 3, torch.int64: 4}
_OTHER: Final = 5
_DESCRIBED: Final = hasattr(torch.Tensor, "__dlpack_c_exchange_api__")
"""Whether tensors describe themselves to C. Before PyTorch 2.10 Python passes addresses and strides, at 3 µs a call."""

_VARIABLE: Final = "TIGHTROPE_CPU_KERNEL"
_LAYOUTS: Final[dict[Layout, int]] = {"half": 0, "interleaved": 1}
_SIDES: Final[dict[Side, bool]] = {"head": False, "tail": True}
_ORDERS: Final[dict[Order, int]] = {"bhsd": 0, "bshd": 1, "thd": 2}
_MOST_WORK: Final = 10**5  # of numpy's search for a common element; slices of one tensor take a few steps
PLAIN: Final = (torch.Tensor, torch.nn.Parameter)


@dataclass(frozen=True)
class CpuKernel:
    """The C kernel for one instruction set: `"avx512bf16"`, `"avx512"`, `"avx2"` or `"neon"`."""

    extension: CpuExtension
    name: str
    index: int

    def rotate(
        self, xs: tuple[torch.Tensor, ...], outs: tuple[torch.Tensor, ...], angles: Phase | Table,
        *, layout: Layout, side: Side, order: Order, transpose: bool,
    ) -> None:  # fmt: skip
        """Write xs, rotated, into outs, which may be xs themselves.

        Args:
            xs: q, or q and k; float32, bfloat16 or float16; any strides; heads, width and dtype may differ.
            outs: Shaped as xs; any strides under which no two elements overlap.
            angles: Phases, or cos and sin.
            layout: Which channels form a pair.
            side: Which end of the width rotates.
            order: What the axes of xs are.
            transpose: Rotate back: the sign of sin flipped.
        """
        how: Any = {"pairs": -1, "layout": layout, "side": side, "order": order, "transpose": transpose}
        if isinstance(angles, Phase):
            parts = angles.positions, angles.turns, angles.attention_factors, angles.rows, angles.axes
            self.rotate_parts(xs, outs, *parts, **how)
        else:
            self.rotate_parts(xs, outs, _rows(angles.cos), _rows(angles.sin), **how)

    def rotate_parts(
        self, xs: tuple[torch.Tensor, ...], outs: tuple[torch.Tensor, ...], *angles: torch.Tensor | int | None,
        pairs: int, layout: Layout, side: Side, order: Order, transpose: bool,
    ) -> None:  # fmt: skip
        """Do what `rotate` says by the parts of a `Phase` or of a `Table`; pairs: what these must have, −1 for any.

        In place of all positions, the first of each row may be given: (batch,), or an int.

        A return without an exception says that all of outs is written.

        Raises:
            TypeError, ValueError, OverflowError: Shapes or dtypes do not fit one another, cos and sin are not float32,
                the pairs side by side, or the int has more than 64 bits; nothing was written.
        """
        tensors: Any = (xs, outs, *angles) if _DESCRIBED else (_told(xs), _told(outs), *_told(angles))
        how = _LAYOUTS[layout], _SIDES[side], _ORDERS[order], transpose
        self.extension.rotate(self.index, pairs, *how, torch.get_num_threads(), *tensors)

    def cos_sin(self, phase: Phase) -> Table:
        """Return cos and sin, float32 (batch, seq, pairs), attention factor in."""
        shape = *phase.positions.shape[1:], phase.pairs
        like = {"dtype": torch.float32, "device": phase.positions.device}
        cos, sin = torch.empty(shape, **like), torch.empty(shape, **like)
        parts = phase.positions, phase.turns, phase.attention_factors, phase.rows, phase.axes, cos, sin
        self.extension.cos_sin(self.index, torch.get_num_threads(), *(parts if _DESCRIBED else _told(parts)))
        return Table(cos=cos, sin=sin)


def find_kernel(name: str | None = None) -> CpuKernel | None:
    """Return the kernel of that name, by default the fastest that runs here; None where there is none, and for "none".

    Raises:
        RopeConfigError: The extension is there, but has no kernel of that name for this processor.
    """
    extension = load_cpu()
    if extension is None or name == "none":
        return None
    names = extension.variants
    name = name or names[0]
    if name not in names:
        raise RopeConfigError(f"{_VARIABLE} must be 'none' or one of {', '.join(map(repr, names))}, got {name!r}")
    return CpuKernel(extension, name, names.index(name))


kernel: CpuKernel | None = find_kernel(os.environ.get(_VARIABLE))


def path() -> str:
    """Return which code rotates on the CPU, in words."""
    return f"C ({kernel.name})" if kernel else "framework operations"


def serving(xs: tuple[torch.Tensor, ...], angles: Phase | Table) -> CpuKernel | None:
    """Return the kernel where it may read and write these tensors behind PyTorch's back, else None.

    It may not where a gradient, a tracer, a function transform, a dispatch mode or a tensor subclass takes part.
    """
    if isinstance(angles, Table):
        return serving_tensors(xs, (angles.cos, angles.sin))
    return serving_tensors(xs, (angles.positions, angles.turns))


def serving_tensors(xs: tuple[Any, ...], sources: tuple[Any, ...]) -> CpuKernel | None:
    """Return what `serving` does, for q and k and the tensors of angles or positions, whatever they are."""
    if kernel is None or torch.compiler.is_compiling():
        return None
    if _transforming() or forward_ad._current_level >= 0 or _dispatch_modes() or _tracing() is not None:  # `watched`
        return None
    differentiable = torch.is_grad_enabled()
    for x in (*xs, *sources):
        if type(x) not in PLAIN or not x.is_cpu or (differentiable and x.requires_grad):
            return None
    for x in xs:
        if x.dtype not in DTYPES or x.layout is not _STRIDED or x.is_neg():
            return None
    return kernel


def watched() -> bool:
    """Return whether a tracer, a function transform, a dispatch mode or forward differentiation follows every call."""
    return bool(transformed() or _dispatch_modes() or _tracing())


def transformed() -> bool:
    """Return whether a function transform or forward differentiation follows every operation."""
    return _transforming() or forward_ad._current_level >= 0


def overlaps(x: torch.Tensor) -> bool:
    """Return whether two elements of x may share memory: a step in one axis falls within the reach of shorter ones."""
    if x.is_contiguous():
        return False
    reach = 0
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size > 1 and stride <= reach:
            return True
        reach += stride * (size - 1)
    return False


def _rows(part: torch.Tensor) -> torch.Tensor:
    """Return cos or sin as the kernel reads them: float32, the pairs side by side."""
    # Not contiguous(): where all axes but one have length 1, PyTorch calls any stride contiguous.
    readable = part.dtype is _FLOAT32 and (part.stride(-1) == 1 or part.shape[-1] <= 1)
    return part if readable else part.to(_FLOAT32, memory_format=torch.contiguous_format, copy=True)


def share(xs: tuple[torch.Tensor, ...]) -> bool:
    """Return whether two elements of the one or two tensors may share memory; not for empty or traced tensors."""
    first, last = xs[0], xs[-1]
    if first.is_contiguous() and last.is_contiguous() and (len(xs) == 1 or not _meet(first, last)):
        return False
    if any(map(overlaps, xs)):
        return True
    if len(xs) == 1 or not (first.numel() and last.numel() and _meet(first, last)):
        return False
    try:
        # numpy's types know of no limit but its two special ones.
        return np.shares_memory(_as_numpy(first), _as_numpy(last), max_work=cast(Any, _MOST_WORK))
    except np.exceptions.TooHardError:
        return True


def _meet(x: torch.Tensor, y: torch.Tensor) -> bool:
    """Return whether each begins before the other ends."""
    x_start, y_start = x.data_ptr(), y.data_ptr()
    return x_start < y_start + _reach(y) and y_start < x_start + _reach(x)


def _reach(x: torch.Tensor) -> int:
    """Return the bytes from the first element of x to its end."""
    if x.is_contiguous():
        return x.nbytes
    last = sum(stride * (size - 1) for stride, size in zip(x.stride(), x.shape, strict=True))
    return (last + 1) * x.element_size()


def _as_numpy(x: torch.Tensor) -> NDArray[np.void]:
    """Return an array that lies where x does, on whatever device: numpy may ask where, and must not read."""
    size = x.element_size()

    class Lying:
        __array_interface__: ClassVar = {
            "version": 3, "typestr": f"|V{size}", "data": (x.data_ptr(), True), "shape": tuple(x.shape),
            "strides": tuple(size * stride for stride in x.stride()),
        }  # fmt: skip

    return np.asarray(Lying())


def _told(tensors: Iterable[torch.Tensor | int | None]) -> tuple[Tensor | None, ...]:
    """Return tensors as numbers."""
    return tuple(
        (x.data_ptr(), _NUMBERS.get(x.dtype, _OTHER), x.shape, x.stride()) if isinstance(x, torch.Tensor) else x
        for x in tensors
    )
