"""The C kernel on CPU tensors: bit for bit what `rope.reference` defines.

It is called directly, past PyTorch's dispatcher, wherever nobody watches the call (`serving`); a traced graph holds it as
operators (`tightrope.backends.torch.operators`).
"""

import os
from dataclasses import dataclass
from typing import Final

import torch

from tightrope.backends.inputs import Order, batch_and_seq
from tightrope.backends.kernels import CpuKernel, load_cpu
from tightrope.backends.kernels.angles import Phase, Table, rotated_start
from tightrope.rope.config import Layout, Side
from tightrope.rope.errors import RopeConfigError

_VARIABLE: Final = "TIGHTROPE_CPU_KERNEL"
DTYPES: Final = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
_LAYOUTS: Final[dict[Layout, int]] = {"half": 0, "interleaved": 1}
_PLAIN: Final = (torch.Tensor, torch.nn.Parameter)

Ints = tuple[int, ...]
Shape = tuple[int, int, int]


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
        if isinstance(angles, Table):
            angles = Table(cos=_readable(angles.cos), sin=_readable(angles.sin))
            table, phase = _table(angles), None
        else:
            table, phase = None, _phase(angles)
        shapes = [_shape(x, angles, order) for x in xs]
        heads = [_heads(x, out, shape, side, order) for x, out, shape in zip(xs, outs, shapes, strict=True)]
        jobs = [(xs[0].dtype, shapes[0], heads[0], None)]
        if len(xs) == 2 and (xs[0].dtype, shapes[0]) == (xs[1].dtype, shapes[1]):
            jobs = [(xs[0].dtype, shapes[0], heads[0], heads[1])]
        elif len(xs) == 2:
            jobs.append((xs[1].dtype, shapes[1], heads[1], None))
        threads = torch.get_num_threads()
        for dtype, shape, q, k in jobs:
            self.extension.rotate(
                self.index, DTYPES[dtype], _LAYOUTS[layout], transpose, threads, shape, table, phase, q, k
            )

    def cos_sin(self, angles: Phase) -> Table:
        """Return cos and sin, float32 (batch, seq, pairs), attention factor in."""
        shape = *angles.positions.shape[1:], angles.pairs
        device = angles.positions.device
        table = Table(
            cos=torch.empty(shape, dtype=torch.float32, device=device),
            sin=torch.empty(shape, dtype=torch.float32, device=device),
        )
        self.extension.cos_sin(self.index, torch.get_num_threads(), shape, _phase(angles), _table(table))
        return table


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
    if torch.compiler.is_compiling() or kernel is None or _watched():
        return None
    inputs = (angles.cos, angles.sin) if isinstance(angles, Table) else (angles.positions, angles.turns)
    if all(x.dtype in DTYPES for x in xs) and all(map(_ordinary, (*xs, *inputs))):
        return kernel
    return None


def _watched() -> bool:
    return bool(
        torch._C._len_torch_dispatch_stack()
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or torch._C._get_tracing_state()
    )


def _ordinary(x: torch.Tensor) -> bool:
    differentiable = x.requires_grad and torch.is_grad_enabled()
    return x.is_cpu and type(x) in _PLAIN and x.layout is torch.strided and not x.is_neg() and not differentiable


def overlaps(x: torch.Tensor) -> bool:
    """Say whether two elements of x may share memory: a step in one axis falls within the reach of shorter ones."""
    reach = 0
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size > 1 and stride <= reach:
            return True
        reach += stride * (size - 1)
    return False


def _readable(part: torch.Tensor) -> torch.Tensor:
    """Return cos or sin as float32 with its pairs side by side."""
    if part.dtype is not torch.float32:
        part = part.to(torch.float32)
    return part if part.stride(-1) == 1 else part.contiguous()


def _shape(x: torch.Tensor, angles: Phase | Table, order: Order) -> Shape:
    """Return (batch, seq, pairs); packed tokens are laid out as their angles are."""
    part = angles.cos if isinstance(angles, Table) else angles.positions[0]
    batch, seq = part.shape[:2] if order == "thd" else batch_and_seq(x, order)
    return batch, seq, angles.pairs


def _heads(x: torch.Tensor, out: torch.Tensor, shape: Shape, side: Side, order: Order) -> Ints:
    """Return what the C side calls Heads, see kernels/job.h."""
    _, seq, pairs = shape
    width = x.shape[-1]
    before = rotated_start(width, pairs, side)
    return (
        x.data_ptr(), out.data_ptr(), x.shape[1 if order != "bshd" else 2], before, width - 2 * pairs - before,
        *_strides(x, seq, order), *_strides(out, seq, order),
    )  # fmt: skip


def _strides(x: torch.Tensor, seq: int, order: Order) -> Ints:
    """Return the strides by batch, head, token and channel."""
    strides = x.stride()
    if order == "bhsd":
        return strides
    if order == "bshd":
        return strides[0], strides[2], strides[1], strides[3]
    return seq * strides[0], strides[1], strides[0], strides[2]


def _table(table: Table) -> Ints:
    """Return what the C side calls Table; one row of angles serves the whole batch."""
    cos, sin = table.cos, table.sin
    one = cos.shape[0] == 1
    cos_batch, cos_seq, _ = cos.stride()
    sin_batch, sin_seq, _ = sin.stride()
    return cos.data_ptr(), 0 if one else cos_batch, cos_seq, sin.data_ptr(), 0 if one else sin_batch, sin_seq


def _phase(phase: Phase) -> Ints:
    """Return what the C side calls Phase; one row of positions serves the whole batch."""
    positions, rows, axes = phase.positions, phase.rows, phase.axes
    axis, batch, seq = positions.stride()
    return (
        positions.data_ptr(), positions.dtype is torch.int64, axis, 0 if positions.shape[1] == 1 else batch, seq,
        phase.turns.data_ptr(), phase.gains.data_ptr(),
        0 if rows is None else rows.data_ptr(), 0 if rows is None else rows.stride(0),
        0 if axes is None else axes.data_ptr(),
    )  # fmt: skip
