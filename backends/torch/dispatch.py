"""Which code rotates, and the gradient. A kernel is entered here and nowhere else."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch

from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.ops import Ops, Order
from tightrope.backends.torch import custom_ops as operators
from tightrope.backends.torch import operations as eager
from tightrope.backends.torch.distributed.dtensor import is_dtensor, rotate_shards
from tightrope.backends.torch.kernels import cpu as native
from tightrope.backends.torch.kernels import gpu
from tightrope.rope.config.terms import Layout, Side
from tightrope.rope.errors import RopeConfigError


class How(NamedTuple):
    """The arguments of a rotation other than tensors."""

    layout: Layout
    side: Side
    order: Order
    transpose: bool


def rotate_pair(
    ops: Ops, q: torch.Tensor, k: torch.Tensor | None, angles: Phase | Table,
    *, layout: Layout, side: Side, order: Order, transpose: bool, in_place: bool = False,
) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
    """Return q and k rotated; see `Ops.rotate`. In place, q and k themselves hold the result.

    Raises:
        RopeConfigError: In place, and elements of q or k share memory.
    """
    xs = (q,) if k is None else (q, k)
    if is_dtensor(*xs) or (isinstance(angles, Table) and is_dtensor(angles.cos, angles.sin)):
        one = partial(rotate_pair, ops, layout=layout, side=side, transpose=transpose)
        return rotate_shards(one, q, k, angles, order=order, in_place=in_place)
    if in_place:
        _check_apart(q, k)
    kernel = native.serving(xs, angles) or gpu.serving(xs, angles)
    how = How(layout, side, order, transpose)
    if kernel is not None:
        rotated = _launched(kernel, xs, angles, how, in_place)
    else:
        table = angles if isinstance(angles, Table) else ops.table(angles)
        rotated = _rotated(xs, table, how, in_place=in_place)
    return rotated[0], rotated[1] if k is not None else None


def rotate_at_once(
    kernel: native.CpuKernel, xs: tuple[torch.Tensor, ...], angles: tuple[Any, ...],
    *, pairs: int, layout: Layout, side: Side, order: Order, transpose: bool = False, in_place: bool = False,
) -> tuple[torch.Tensor, ...] | None:  # fmt: skip
    """Return xs rotated by the C kernel where it finds that everything fits; else None, nothing done.

    It sees itself what the checks of `backends.shared.arguments` would, which for one token take two thirds of the time
    of a call; what is wrong is left to them to say.

    Args:
        kernel: What `native.serving_tensors` returned for these tensors.
        xs: What the caller gave as q, or as q and k.
        angles: See `CpuKernel.rotate_parts`, as for the others; nothing was checked.
        pairs: How many pairs the angles must have, −1 for any.
        layout: Which channels form a pair.
        side: Which end of the width is rotated.
        order: What the axes of q and k are.
        transpose: Rotate back.
        in_place: Into xs themselves.
    """
    if in_place and native.share(xs):
        return None
    outs = xs if in_place else tuple([torch.empty_like(x) for x in xs])
    try:
        kernel.rotate_parts(xs, outs, *angles, pairs=pairs, layout=layout, side=side, order=order, transpose=transpose)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if in_place:
        _note_change(xs)
    return outs


def _note_change(xs: tuple[torch.Tensor, ...]) -> None:
    """Let autograd, which may have kept q or k for a gradient, notice what it could not see."""
    torch.autograd.graph.increment_version(xs)


def _check_apart(q: torch.Tensor, k: torch.Tensor | None) -> None:
    """Raise where writing one element would change another one of q and k."""
    for name, x in (("q", q), ("k", k)):
        if x is not None and native.overlaps(x):
            raise RopeConfigError(
                f"{name} cannot be rotated in place: its elements share memory (shape {tuple(x.shape)}, strides "
                f"{x.stride()}); rotate before expand, or a copy"
            )
    if k is not None and _in_memory(q, k) and native.share((q, k)):
        raise RopeConfigError(
            "q and k cannot be rotated in place: they share memory, which would be rotated twice; rotate a copy of k"
        )


def _in_memory(*xs: torch.Tensor) -> bool:
    """Return whether tensors have memory to look at: those of a graph in the making have none yet."""
    if torch.compiler.is_compiling() or native.watched():
        return False
    return all(type(x) in native.PLAIN and x.layout is torch.strided for x in xs)


def _launched(
    kernel: native.CpuKernel | gpu.GpuKernel,
    xs: tuple[torch.Tensor, ...],
    angles: Phase | Table,
    how: How,
    in_place: bool,
) -> tuple[torch.Tensor, ...]:
    outs = xs if in_place else tuple([torch.empty_like(x) for x in xs])
    layout, side, order, transpose = how
    kernel.rotate(xs, outs, angles, layout=layout, side=side, order=order, transpose=transpose)
    if in_place:
        _note_change(xs)
    return outs


def _rotated(xs: tuple[torch.Tensor, ...], table: Table, how: How, *, in_place: bool) -> tuple[torch.Tensor, ...]:
    differentiable = torch.is_grad_enabled() and any(x.requires_grad for x in (*xs, table.cos, table.sin))
    if in_place and differentiable:
        return tuple(x.copy_(y) for x, y in zip(xs, _rotated(xs, table, how, in_place=False), strict=True))
    if differentiable and (table.cos.requires_grad or table.sin.requires_grad):
        return tuple(_traced(x, table.cos, table.sin, how) for x in xs)
    if operators.serve(*xs, table.cos):
        ys = tuple(operators.rotate(x, table.cos, table.sin, *how) for x in xs)
        return tuple(x.copy_(y) for x, y in zip(xs, ys, strict=True)) if in_place else ys
    if differentiable and not _watched():
        rotated: tuple[torch.Tensor, ...] = _apply(how, table.cos, table.sin, *xs)
        return rotated
    return _computed(xs, table.cos, table.sin, how, in_place=in_place)


class Rotation(torch.autograd.Function):
    """The rotation with its gradient, the transposed rotation; which has one too, and so on."""

    generate_vmap_rule = True

    @staticmethod
    def forward(how: How, cos: torch.Tensor, sin: torch.Tensor, *xs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return each of xs rotated."""
        return _computed(xs, cos, sin, how, in_place=False)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
        """Keep the angles; the gradient needs nothing else."""
        ctx.how, cos, sin = inputs[:3]
        ctx.save_for_backward(cos, sin)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients rotated back."""
        back = ctx.how._replace(transpose=not ctx.how.transpose)
        return None, None, None, *_apply(back, *ctx.saved_tensors, *gradients)


_apply: Callable[..., Any] = Rotation.apply  # which torch leaves untyped


def _computed(
    xs: tuple[torch.Tensor, ...], cos: torch.Tensor, sin: torch.Tensor, how: How, *, in_place: bool
) -> tuple[torch.Tensor, ...]:
    # A subclass does what it wants of every operation, and batched gradients have no storage.
    subclass = any(type(x) not in native.PLAIN for x in (*xs, cos, sin))
    if subclass or _watched() or not all(map(torch._C._has_storage, xs)):
        ys = tuple(_traced(x, cos, sin, how) for x in xs)
        return tuple(x.copy_(y) for x, y in zip(xs, ys, strict=True)) if in_place else ys
    table = Table(cos=cos, sin=sin)
    kernel = native.serving(xs, table) or gpu.serving(xs, table)
    if kernel is not None:
        return _launched(kernel, xs, table, how, in_place)
    outs = xs if in_place else tuple(torch.empty_like(x) for x in xs)
    for x, out in zip(xs, outs, strict=True):
        _write(x, out, cos, sin, how)
    return outs


def _watched() -> bool:
    """Return whether a compiler, a function transform or forward differentiation follows every operation."""
    return torch.compiler.is_compiling() or native.transformed()


def _traced(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, how: How) -> torch.Tensor:
    cos, sin = (eager.beside(part, how.order) for part in (cos, sin))
    return eager.rotated(x, cos, sin, layout=how.layout, side=how.side, transpose=how.transpose)


def _write(x: torch.Tensor, out: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, how: How) -> None:
    cos, sin = (eager.beside(part, how.order) for part in (cos, sin))
    eager.write(x, out, cos, sin, layout=how.layout, side=how.side, transpose=how.transpose)
