"""Which code rotates. A kernel is entered here and nowhere else."""

from functools import partial

import mlx.core as mx

from tightrope.backends.inputs import Order
from tightrope.backends.kernels.angles import Phase, Table
from tightrope.backends.mlx import fused, kernel
from tightrope.backends.ops import Ops
from tightrope.rope.config import Layout, Side
from tightrope.rope.reference import pair_slices


def rotate_pair(
    ops: Ops, q: mx.array, k: mx.array | None, angles: Phase | Table,
    *, layout: Layout, side: Side, order: Order, transpose: bool,
) -> tuple[mx.array, mx.array | None]:  # fmt: skip
    """Return q and k rotated; see `Ops.rotate`."""
    if kernel.serves(q, k):
        return fused.rotate(q, k, angles, layout=layout, side=side, order=order, transpose=transpose)
    table = angles if isinstance(angles, Table) else ops.table(angles)
    cos, sin = _beside(table.cos, order), _beside(-table.sin if transpose else table.sin, order)
    turned = _rotated(q, cos, sin, layout, side)
    return turned, None if k is None else _rotated(k, cos, sin, layout, side)


def _rotated(x: mx.array, cos: mx.array, sin: mx.array, layout: Layout, side: Side) -> mx.array:
    """Return x rotated: computed in float32 and rounded once; gradients follow from the operations."""
    pairs, width = cos.shape[-1], x.shape[-1]
    first, second = pair_slices(width, pairs, layout, side)
    parts = list(_turned(x[..., first], x[..., second], cos, sin))
    if layout == "interleaved":
        turned = mx.stack(parts, axis=-1)
        parts = [turned.reshape(*turned.shape[:-2], 2 * pairs)]
    if width > 2 * pairs:
        parts = [*parts, x[..., 2 * pairs :]] if side == "head" else [x[..., : width - 2 * pairs], *parts]
    return parts[0] if len(parts) == 1 else mx.concatenate(parts, axis=-1)


# One kernel instead of eight; the shapes stay open, so that a new length compiles nothing.
@partial(mx.compile, shapeless=True)
def _turned(x1: mx.array, x2: mx.array, cos: mx.array, sin: mx.array) -> tuple[mx.array, mx.array]:
    working = mx.float64 if x1.dtype == mx.float64 else mx.float32
    a, b = x1.astype(working), x2.astype(working)
    return (a * cos - b * sin).astype(x1.dtype), (a * sin + b * cos).astype(x1.dtype)


def _beside(part: mx.array, order: Order) -> mx.array:
    """Return cos or sin (batch, seq, pairs) so that it broadcasts against q and k."""
    if order == "thd":
        return part.reshape(-1, 1, part.shape[-1])
    return mx.expand_dims(part, 1 if order == "bhsd" else 2)
