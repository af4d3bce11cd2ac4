"""The kernels for CUDA and Apple GPUs, behind the two calls that `native.GpuKernel` has for the CPU."""

import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final, cast

import torch

from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.ops import Order
from tightrope.backends.torch import custom_ops as operators
from tightrope.backends.torch import operations as eager
from tightrope.backends.torch.kernels import cpu as native
from tightrope.rope.config.terms import Layout, Side
from tightrope.rope.errors import BackendUnavailable

_VARIABLE: Final = "TIGHTROPE_GPU_KERNEL"


@dataclass(frozen=True)
class GpuKernel:
    """A kernel for a kind of GPU.

    Attributes:
        name: What it is written in, `"Triton"` or `"Metal"`.
        module: Launches it: `rotate` and `cos_sin`.
    """

    name: str
    module: ModuleType

    def rotate(
        self, xs: tuple[torch.Tensor, ...], outs: tuple[torch.Tensor, ...], angles: Phase | Table,
        *, layout: Layout, side: Side, order: Order, transpose: bool,
    ) -> None:  # fmt: skip
        """Write xs, rotated, into outs, which may be xs themselves: in one launch where dtypes and rows agree."""
        row_axis = 0 if angles.batch == 1 else 1  # packed tokens form one row, or one row each
        views = tuple(_view(x, order, row_axis) for x in xs)
        targets = tuple(v if o is x else _view(o, order, row_axis) for v, x, o in zip(views, xs, outs, strict=True))
        # One grid counts the rows of all that it rotates: of a longer k it would leave some unwritten.
        alike = len({(view.dtype, view.shape[0]) for view in views}) == 1
        together = [(0, len(xs))] if alike else [(i, i + 1) for i in range(len(xs))]
        for start, stop in together:
            q, k = (*views[start:stop], None)[:2]
            q_out, k_out = (*targets[start:stop], None)[:2]
            spread = _spread(angles, views[start].shape[0])
            self.module.rotate(q, k, q_out, k_out, spread, layout=layout, side=side, transpose=transpose)

    def cos_sin(self, phase: Phase) -> Table:
        """Return cos and sin, float32 (batch, seq, pairs), attention factor in."""
        batch = phase.batch if phase.rows is None else max(phase.batch, phase.rows.shape[0])
        shape = batch, phase.positions.shape[2], phase.pairs
        cos, sin = (torch.empty(shape, dtype=torch.float32, device=phase.positions.device) for _ in range(2))
        self.module.cos_sin(_spread(phase, batch), cos, sin)
        return Table(cos=cos, sin=sin)


@cache
def find_kernel(device_type: str) -> GpuKernel | None:
    """Return the kernel for devices of a type: None where there is none, or where the environment wants none."""
    if os.environ.get(_VARIABLE) == "none":
        return None
    if device_type == "cuda" and find_spec("triton") is not None:
        from tightrope.backends.torch.kernels import triton_launch as triton

        return GpuKernel("Triton", triton)
    if device_type == "mps":
        from tightrope.backends.torch.kernels import mps

        return GpuKernel("Metal", mps)
    return None


def path(device: str) -> str:
    """Return which code rotates on a device, in words."""
    kernel = find_kernel(device.partition(":")[0])
    return kernel.name if kernel else "framework operations"


def serving(xs: tuple[torch.Tensor, ...], angles: Phase | Table) -> GpuKernel | None:
    """Return the kernel where it may read and write these tensors behind PyTorch's back; see `native.serving`.

    In graphs framework operations stand in its place: Inductor makes one pass over q and one over k of them (counted on
    the CPU, whole heads) and fuses these with what stands around. A Triton kernel in a graph (`triton_op`) would stay a
    launch of its own, behind a copy of what it writes in place, and MPS has none.
    """
    if torch.compiler.is_compiling() or native.watched():
        return None
    sources = (angles.cos, angles.sin) if isinstance(angles, Table) else (angles.positions, angles.turns)
    device = sources[0].device
    kernel = find_kernel(device.type)
    if kernel is None:
        return None
    differentiable = torch.is_grad_enabled()
    for x in (*xs, *sources):
        if x.device != device or type(x) not in native.PLAIN or (differentiable and x.requires_grad):
            return None
    for x in xs:
        if x.dtype not in native.DTYPES or x.layout is not torch.strided or x.is_neg():
            return None
    return kernel


def _view(x: torch.Tensor, order: Order, row_axis: int) -> torch.Tensor:
    """Return x as (batch, seq, heads, width)."""
    if order == "thd":
        return x.unsqueeze(row_axis)
    return x.transpose(1, 2) if order == "bhsd" else x


def _spread(angles: Phase | Table, batch: int) -> Phase | Table:
    """Let every row have its angles."""
    if isinstance(angles, Table):
        cos, sin = (part.to(torch.float32).expand(batch, -1, -1) for part in (angles.cos, angles.sin))
        return Table(cos=cos, sin=sin)
    rows = None if angles.rows is None else angles.rows.expand(batch)
    positions = angles.positions.expand(-1, batch, -1)
    return Phase(
        positions=positions, turns=angles.turns, attention_factors=angles.attention_factors, rows=rows, axes=angles.axes
    )


def _register(device_type: str) -> None:
    """Let the operators of `tightrope.backends.torch.custom_ops` run on such devices: in graphs that hold them."""

    def rotate(
        x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, layout: str, side: str, order: str, transpose: bool
    ) -> torch.Tensor:
        out = torch.empty_like(x)
        form: dict[str, Any] = {"layout": layout, "side": side, "transpose": transpose}
        kernel = find_kernel(device_type)
        if kernel is not None and x.dtype in native.DTYPES:
            kernel.rotate((x,), (out,), Table(cos=cos, sin=sin), order=cast(Order, order), **form)
        else:
            cos, sin = (eager.beside(part, cast(Order, order)) for part in (cos, sin))
            eager.write(x, out, cos, sin, **form)
        return out

    def cos_sin(
        positions: torch.Tensor, turns: torch.Tensor, attention_factors: torch.Tensor,
        rows: torch.Tensor | None, axes: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        kernel = find_kernel(device_type)
        if kernel is None:
            raise BackendUnavailable(
                f"this graph computes angles by a kernel, and there is none for {device_type} here"
            )
        table = kernel.cos_sin(
            Phase(positions=positions, turns=turns, attention_factors=attention_factors, rows=rows, axes=axes)
        )
        return table.cos, table.sin

    operators.rotate.register_kernel(device_type)(rotate)
    operators.cos_sin.register_kernel(device_type)(cos_sin)


for _device_type in ("cuda", "mps"):
    _register(_device_type)
