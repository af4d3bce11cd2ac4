"""`RotaryEmbedding` and `rotate` for MLX."""

from typing import Any, ClassVar

import mlx.core as mx
import mlx.nn as nn

from tightrope.backends.given import rotate_given
from tightrope.backends.lengths import Lengths
from tightrope.backends.mlx.ops import MlxOps
from tightrope.backends.ops import Ops, Order
from tightrope.backends.rotary import Rotary
from tightrope.rope.config import Layout, Side


class RotaryEmbedding(Rotary, nn.Module):
    """Rotates queries and keys by their positions; a MLX module without parameters.

    `RotaryEmbedding(model, precision="exact", policy="row", switch="auto")`: see `tightrope.backends.ropes.HasRopes`;
    a call has the arguments of `rotated`.
    """

    ops: ClassVar[Ops] = MlxOps()

    __call__ = Rotary.rotated
    _extra_repr = Rotary.described

    def cis(self, positions: mx.array, *, seq_len: Lengths | None = None, layer_type: str | None = None) -> mx.array:
        """Return cos + i sin, complex64 (batch, seq, rotary_dim // 2); see `cos_sin`."""
        cos, sin = self.cos_sin(positions, seq_len=seq_len, layer_type=layer_type)
        result: mx.array = cos + 1j * sin
        return result


def rotate(
    q: mx.array, k: mx.array | None = None, *, cos: mx.array, sin: mx.array, layout: Layout,
    side: Side = "head", order: Order = "bhsd", transpose: bool = False,
) -> Any:  # fmt: skip
    """Return q, or (q, k), rotated by given angles.

    y1 = x1 · cos − x2 · sin,    y2 = x1 · sin + x2 · cos

    Args:
        q: A float array, at least 2 · pairs wide; computed in float32 (float64 as it is), rounded once.
        k: As q; heads and width may differ.
        cos: (batch or 1, seq, pairs), attention factor in.
        sin: As cos.
        layout: Which channels form a pair, see `RopeConfig`.
        side: Which end of the width turns, see `RopeConfig`.
        order: `"bhsd"`, `"bshd"`, or `"thd"` for packed tokens.
        transpose: Rotate back: the sign of sin flipped.

    Raises:
        RopeConfigError: A dtype or a shape does not fit.
    """
    ops = RotaryEmbedding.ops
    return rotate_given(ops, q, k, cos, sin, layout=layout, side=side, order=order, transpose=transpose)
