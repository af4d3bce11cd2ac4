"""`RotaryEmbedding` and `rotate` for PyTorch."""

from typing import Any, ClassVar

import torch

from tightrope.backends.shared.angles import Table
from tightrope.backends.shared.arguments import Lengths
from tightrope.backends.shared.ops import Ops, Order
from tightrope.backends.shared.rotary import Rotary
from tightrope.backends.shared.rotation import Angles, rotate_given
from tightrope.backends.torch.dispatch import rotate_at_once
from tightrope.backends.torch.ops import TorchOps
from tightrope.rope.config.terms import Layout, Side


class RotaryEmbedding(Rotary, torch.nn.Module):
    """Rotates queries and keys by their positions; a torch module without parameters and buffers.

    `RotaryEmbedding(model, precision="exact", policy="row", switch="auto")`: see
    `tightrope.backends.shared.ropes.HasRopes`;
    a call has the arguments of `rotated`.
    """

    ops: ClassVar[Ops] = TorchOps()

    forward = Rotary.rotated
    extra_repr = Rotary.described

    def rotate_(
        self, q: torch.Tensor, k: torch.Tensor | None = None, *, positions: torch.Tensor | None = None,
        offset: int | torch.Tensor | None = None, angles: Angles | tuple[torch.Tensor, torch.Tensor] | None = None,
        seq_len: Lengths | None = None, layer_type: str | None = None, order: Order = "bhsd",
    ) -> Any:  # fmt: skip
        """Rotate q and k in place and return them; arguments as in `rotated`."""
        return self._rotated(
            q, k, positions, offset, angles, seq_len, layer_type, order, transpose=False, in_place=True
        )

    def _rotated(
        self, q: Any, k: Any, positions: Any, offset: Any, angles: Any, seq_len: Any, layer_type: str | None,
        order: Order, **how: Any,
    ) -> Any:  # fmt: skip
        """As written for all frameworks; by angles that exist, which a step has for every layer, at once."""
        if angles is not None and positions is None and offset is None and seq_len is None:
            key = self._key(layer_type)
            rope, table = self._ropes.rope_angles[key].config, _given(angles, key)
            done = rotate_at_once(
                q, k, table, pairs=rope.pairs, layout=rope.layout, side=rope.side, order=order, **how
            )  # fmt: skip
            if done is not None:
                return done
        return super()._rotated(q, k, positions, offset, angles, seq_len, layer_type, order, **how)

    def cis(
        self, positions: torch.Tensor, *, seq_len: Lengths | None = None, layer_type: str | None = None
    ) -> torch.Tensor:
        """Return cos + i sin, complex64 (batch, seq, rotary_dim // 2); see `cos_sin`. MPS has no complex numbers."""
        return torch.complex(*self.cos_sin(positions, seq_len=seq_len, layer_type=layer_type))


def _given(angles: Any, key: str) -> Table | None:
    """Return cos and sin of a rope from what a caller passed as angles, unchecked; None where they are not there."""
    if type(angles) is tuple and len(angles) == 2:
        return Table(cos=angles[0], sin=angles[1])
    return angles[key] if isinstance(angles, Angles) and key in angles else None


def rotate(
    q: torch.Tensor, k: torch.Tensor | None = None, *, cos: torch.Tensor, sin: torch.Tensor, layout: Layout,
    side: Side = "head", order: Order = "bhsd", transpose: bool = False,
) -> Any:  # fmt: skip
    """Return q, or (q, k), rotated by given angles; see `tightrope.backends.shared.rotation.rotate_given`."""
    how: dict[str, Any] = {"layout": layout, "side": side, "order": order, "transpose": transpose}
    done = rotate_at_once(q, k, Table(cos=cos, sin=sin), pairs=-1, **how)
    return done if done is not None else rotate_given(RotaryEmbedding.ops, q, k, cos, sin, **how)
