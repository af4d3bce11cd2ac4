"""The C kernel as operators, `tightrope::rotate` and `tightrope::cos_sin`: how a traced graph holds it.

`torch.compile` and `torch.export` keep an operator whole; on a CPU the framework operations that they would fuse in its
place take several times as long.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch._subclasses.fake_tensor import FakeTensor

from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.ops import Order
from tightrope.backends.shared.tables import host_tables
from tightrope.backends.torch import operations as eager
from tightrope.backends.torch.constants import place_values
from tightrope.backends.torch.kernels import cpu as native
from tightrope.rope.errors import BackendUnavailable, RopeConfigError


def serve(*tensors: torch.Tensor) -> bool:
    """Return whether a graph of these tensors should hold the operators; fake tensors then need no device."""
    if torch.compiler.is_compiling():
        return native.kernel is not None and all(x.device.type == "cpu" for x in tensors)
    return any(isinstance(x, FakeTensor) for x in tensors)


def _kernel() -> native.CpuKernel:
    # A graph may have been exported where the kernel is, and run where it is not.
    if native.kernel is None:
        raise BackendUnavailable("this graph holds Tightrope's C kernel, which is not here: install with a C compiler")
    return native.kernel


@torch.library.custom_op("tightrope::rotate", mutates_args=(), device_types="cpu")
def rotate(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, layout: str, side: str, order: str, transpose: bool
) -> torch.Tensor:
    """Return x rotated; arguments as in `tightrope.backends.torch.rotate`."""
    out = torch.empty_like(x)
    form: dict[str, Any] = {"layout": layout, "side": side, "transpose": transpose}
    if x.dtype in native.DTYPES:
        _kernel().rotate((x,), (out,), Table(cos=cos, sin=sin), order=cast(Order, order), **form)
    else:
        cos, sin = (eager.beside(part, cast(Order, order)) for part in (cos, sin))
        eager.write(x, out, cos, sin, **form)
    return out


@rotate.register_fake
def _(x: torch.Tensor, *_: Any) -> torch.Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    _, cos, sin, *ctx.form = inputs
    if cos.requires_grad or sin.requires_grad:
        raise RopeConfigError(
            "tightrope::rotate gives no gradient for cos and sin; use tightrope.backends.torch.rotate"
        )
    ctx.save_for_backward(cos, sin)


def _rotate_back(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    *form, transpose = ctx.form
    return rotate(gradient, *ctx.saved_tensors, *form, not transpose), None, None, None, None, None, None


rotate.register_autograd(_rotate_back, setup_context=_keep)


@torch.library.custom_op("tightrope::cos_sin", mutates_args=(), device_types="cpu")
def cos_sin(
    positions: torch.Tensor,
    turns: torch.Tensor,
    attention_factors: torch.Tensor,
    rows: torch.Tensor | None,
    axes: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cos and sin of a phase; arguments as in `Phase`."""
    phase = Phase(positions=positions, turns=turns, attention_factors=attention_factors, rows=rows, axes=axes)
    table = _kernel().cos_sin(phase)
    return table.cos, table.sin


@cos_sin.register_fake
def _(positions: torch.Tensor, turns: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
    shape = *positions.shape[1:], turns.shape[-1]
    return torch.empty(shape, device=positions.device), torch.empty(shape, device=positions.device)


def table(phase: Phase) -> Table:
    """Return cos and sin of a phase, by the operator."""
    # Constants that one function made share a name in a graph, which torch 2.13 refuses; views of them do not.
    turns, attention_factors = (
        phase.turns.view_as(phase.turns),
        phase.attention_factors.view_as(phase.attention_factors),
    )
    axes = None if phase.axes is None else phase.axes.view_as(phase.axes)
    cos, sin = cos_sin(phase.positions, turns, attention_factors, phase.rows, axes)
    return Table(cos=cos, sin=sin)


# A CUDA graph would replay the tables of the length it was captured at.
@torch.library.custom_op("tightrope::tables", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,))
def tables(
    like: torch.Tensor, name: str, lengths: Sequence[int], pairs: int, exact: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `turns` (lengths, pairs) and `attention_factors` (lengths,) of `host_tables`, on the device of `like`."""
    host = host_tables(name, tuple(lengths))
    return place_values(host.turns, like.device), place_values(host.attention_factors, like.device)


@tables.register_fake
def _(like: torch.Tensor, name: str, lengths: Sequence[int], pairs: int, exact: bool) -> tuple[torch.Tensor, ...]:
    turns = torch.empty(len(lengths), pairs, dtype=torch.int64 if exact else torch.float32, device=like.device)
    return turns, torch.empty(len(lengths), dtype=torch.float32, device=like.device)
