"""Which code rotates. A kernel is entered here and nowhere else."""

import mlx.core as mx

from tightrope.backends.mlx import derivatives as fused
from tightrope.backends.mlx import operations
from tightrope.backends.mlx.kernels import launch as kernel
from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.ops import Ops, Order
from tightrope.rope.config.terms import Layout, Side


def rotate_pair(
    ops: Ops, q: mx.array, k: mx.array | None, angles: Phase | Table,
    *, layout: Layout, side: Side, order: Order, transpose: bool,
) -> tuple[mx.array, mx.array | None]:  # fmt: skip
    """Return q and k rotated; see `Ops.rotate`."""
    launch = kernel.launch
    if not kernel.serves(q, k):
        launch, angles = operations.launch, angles if isinstance(angles, Table) else ops.table(angles)
    return fused.rotate(launch, q, k, angles, layout=layout, side=side, order=order, transpose=transpose)
