"""The C kernel on CPU tensors: bit for bit what `rope.reference` defines.

It is called directly, past PyTorch's dispatcher, wherever nobody watches the call (`serving`).
A traced graph holds it as operators (`tightrope.backends.torch.operators`).
"""

import os
from dataclasses import dataclass
from typing import Final

import torch

from tightrope.backends.kernels import CpuKernel, Numbers, load_cpu
from tightrope.backends.kernels.angles import Phase, Table
from tightrope.backends.ops import Order
from tightrope.rope.config import Layout, Side
from tightrope.rope.errors import RopeConfigError

_FLOAT32: Final = torch.float32
DTYPES: Final = {_FLOAT32: 0, torch.bfloat16: 1, torch.float16: 2}

_VARIABLE: Final = "TIGHTROPE_CPU_KERNEL"
_LAYOUTS: Final[dict[Layout, int]] = {"half": 0, "interleaved": 1}
_ORDERS: Final[dict[Order, int]] = {"bhsd": 0, "bshd": 1, "thd": 2}
PLAIN: Final = (torch.Tensor, torch.nn.Parameter)


@dataclass(frozen=True)
class Kernel:
    """The C kernel for one instruction set: `"avx512bf16"`, `"avx512"`, `"avx2"` or `"neon"`."""

    extension: CpuKernel
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
            side: Which end of the width turns.
            order: What the axes of xs are.
            transpose: Rotate back: the sign of sin flipped.
        """
        table = phase = None
        if isinstance(angles, Phase):
            phase = _phase(angles)
        else:
            cos, sin = _readable(angles.cos), _readable(angles.sin)
            table = _table(cos, sin)
        self.extension.rotate(
            self.index, _LAYOUTS[layout], side == "tail", _ORDERS[order], transpose, torch.get_num_threads(),
            table, phase, tuple(map(_heads, xs, outs)),
        )  # fmt: skip

    def cos_sin(self, phase: Phase) -> Table:
        """Return cos and sin, float32 (batch, seq, pairs), attention factor in."""
        shape = *phase.positions.shape[1:], phase.pairs
        like = {"dtype": torch.float32, "device": phase.positions.device}
        cos, sin = torch.empty(shape, **like), torch.empty(shape, **like)
        self.extension.cos_sin(self.index, torch.get_num_threads(), _phase(phase), _table(cos, sin))
        return Table(cos=cos, sin=sin)


def find_kernel(name: str | None = None) -> Kernel | None:
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
    return Kernel(extension, name, names.index(name))


kernel: Kernel | None = find_kernel(os.environ.get(_VARIABLE))


def path() -> str:
    """Return which code rotates on the CPU, in words."""
    return f"C ({kernel.name})" if kernel else "framework operations"


def serving(xs: tuple[torch.Tensor, ...], angles: Phase | Table) -> Kernel | None:
    """Return the kernel where it may read and write these tensors behind PyTorch's back, else None.

    It may not where a gradient, a tracer, a function transform, a dispatch mode or a tensor subclass takes part.
    """
    if torch.compiler.is_compiling() or kernel is None or watched():
        return None
    first, second = (angles.cos, angles.sin) if isinstance(angles, Table) else (angles.positions, angles.turns)
    differentiable = torch.is_grad_enabled()
    for x in (*xs, first, second):
        if not (x.is_cpu and type(x) in PLAIN and not (differentiable and x.requires_grad)):
            return None
    for x in xs:
        if x.dtype not in DTYPES or x.layout is not torch.strided or x.is_neg():
            return None
    return kernel


def watched() -> bool:
    """Say whether a tracer, a function transform, a dispatch mode or forward differentiation follows every call."""
    return bool(transformed() or torch._C._len_torch_dispatch_stack() or torch._C._get_tracing_state())


def transformed() -> bool:
    """Say whether a function transform or forward differentiation follows every operation."""
    return torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0


def overlaps(x: torch.Tensor) -> bool:
    """Say whether two elements of x may share memory: a step in one axis falls within the reach of shorter ones."""
    reach = 0
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size > 1 and stride <= reach:
            return True
        reach += stride * (size - 1)
    return False


def _readable(part: torch.Tensor) -> torch.Tensor:
    """Return cos or sin as the C side can read it: float32 with the pairs side by side."""
    return part if part.dtype is _FLOAT32 and part.stride(-1) == 1 else part.to(_FLOAT32).contiguous()


def _heads(x: torch.Tensor, out: torch.Tensor) -> Numbers:
    """Return what the C side calls Heads."""
    return DTYPES[x.dtype], x.data_ptr(), out.data_ptr(), x.shape, x.stride(), out.stride()


def _table(cos: torch.Tensor, sin: torch.Tensor) -> Numbers:
    """Return what the C side calls Table."""
    return cos.data_ptr(), sin.data_ptr(), cos.shape, cos.stride(), sin.stride()


def _phase(phase: Phase) -> Numbers:
    """Return what the C side calls Phase."""
    positions, turns, rows, axes = phase.positions, phase.turns, phase.rows, phase.axes
    return (
        positions.data_ptr(), positions.dtype is torch.int64, positions.shape, positions.stride(),
        turns.shape[-1], turns.data_ptr(), phase.gains.data_ptr(),
        0 if rows is None else rows.data_ptr(), 0 if rows is None or rows.shape[0] == 1 else rows.stride(0),
        0 if axes is None else axes.data_ptr(),
    )  # fmt: skip
