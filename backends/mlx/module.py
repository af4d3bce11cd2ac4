"""`RotaryEmbedding` and `rotate` for MLX."""

from typing import Any, ClassVar

import mlx.core as mx
import mlx.nn as nn

from tightrope.backends.mlx.ops import MlxOps
from tightrope.backends.shared.arguments import Lengths
from tightrope.backends.shared.ops import Ops, Order
from tightrope.backends.shared.rotary import Rotary
from tightrope.backends.shared.rotation import rotate_given
from tightrope.rope.config.terms import Layout, Side


class RotaryEmbedding(Rotary, nn.Module):
    """Rotates queries and keys by their positions; a MLX module without parameters.

    `RotaryEmbedding(model, precision="exact", policy="row", switch="auto")`: see
    `tightrope.backends.shared.ropes.HasRopes`;
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
    """Return q, or (q, k), rotated by given angles; see `tightrope.backends.shared.rotation.rotate_given`."""
    how: dict[str, Any] = {"layout": layout, "side": side, "order": order, "transpose": transpose}
    return rotate_given(RotaryEmbedding.ops, q, k, cos, sin, **how)
