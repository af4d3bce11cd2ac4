"""Which code rotates. A kernel is entered here and nowhere else."""

from typing import Any

import mlx.core as mx

from tightrope.backends.mlx import derivatives as fused
from tightrope.backends.mlx import operations
from tightrope.backends.mlx.kernels import launch as kernel
from tightrope.backends.shared import trig
from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.ops import Ops, Order
from tightrope.rope.config.terms import Layout, Side


def rotate_pair(
    ops: Ops, q: mx.array, k: mx.array | None, angles: Phase | Table,
    *, layout: Layout, side: Side, order: Order, transpose: bool,
) -> tuple[mx.array, mx.array | None]:  # fmt: skip
    """Return q and k rotated; see `Ops.rotate`. Each alone where they differ in rows: one launch counts those of q."""
    how = {"layout": layout, "side": side, "order": order, "transpose": transpose}
    if k is not None and q.shape[0] != k.shape[0]:
        return _rotated(ops, q, None, angles, **how)[0], _rotated(ops, k, None, angles, **how)[0]
    return _rotated(ops, q, k, angles, **how)


def cos_sin(ops: Ops, phase: Phase) -> Table:
    """Return cos and sin of exact phases; see `Ops.table`."""
    return fused.cos_sin(phase) if kernel.serves() else trig.table(ops, phase)


def _rotated(
    ops: Ops, q: mx.array, k: mx.array | None, angles: Phase | Table, **how: Any
) -> tuple[mx.array, mx.array | None]:
    if q.size == 0 and (k is None or k.size == 0):
        return q, k
    launch = kernel.launch
    if not kernel.serves(q, k):
        launch, angles = operations.launch, angles if isinstance(angles, Table) else cos_sin(ops, angles)
    return fused.rotate(launch, q, k, angles, **how)
