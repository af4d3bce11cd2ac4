"""Tightrope inside an mlx-vlm model: the ropes of its text part, M-RoPE with explicit positions among them.

Written against mlx-vlm 0.7. Its multimodal attention calls `rotary_emb.apply_rotary(q, k, position_ids)` where the
module says `fused_apply`, else `rotary_emb(x, position_ids)` once a step; its other attention calls `rope(x, offset)`.
"""

from dataclasses import replace
from importlib import metadata
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn

from tightrope.backends.mlx import interop as host
from tightrope.backends.mlx.mlx_lm.handler import kept_config
from tightrope.backends.mlx.mlx_lm.places import UNTOUCHED, RopePlace, plan_layers, serve_rope
from tightrope.backends.mlx.mlx_lm.step import SharedSteps
from tightrope.backends.mlx.module import RotaryEmbedding
from tightrope.backends.patching.changes import Swap
from tightrope.backends.patching.models import Options, PatchPlan, own_config
from tightrope.backends.patching.report import PartReport, in_words
from tightrope.backends.shared.ops import Order
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError

__all__ = ["MLXRotary", "plan"]

# Ways of mlx-vlm to hand the axes to the pairs that merge them into one table, (batch, seq, rotary_dim), half by half.
_MERGED: Final = ("chunked", "interleaved")
_ORDERS: Final[dict[int, Order]] = {1: "bhsd", 2: "bshd"}


class MLXRotary(nn.Module):
    """The rotary module of a multimodal model for mlx-vlm: positions come from outside, one row per axis.

    Args:
        config: The rope.
        precision: See `RotaryEmbedding`.
        policy: See `RotaryEmbedding`.
        switch: See `RotaryEmbedding`.
    """

    fused_apply: Final = True
    """mlx-vlm then calls `apply_rotary` in each layer."""

    def __init__(self, config: RopeConfig, **rotary: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in mlx
        self._rope = RotaryEmbedding(config, **rotary)

    def __call__(self, x: mx.array, position_ids: mx.array) -> tuple[mx.array, mx.array]:
        """Return cos and sin, (batch, seq, rotary_dim) in the dtype of x: each half of it holds every pair once.

        Args:
            x: An array of the dtype wanted.
            position_ids: (batch, seq) or (axes, batch, seq).
        """
        cos, sin = self._rope.cos_sin(position_ids)
        return mx.concatenate([cos, cos], -1).astype(x.dtype), mx.concatenate([sin, sin], -1).astype(x.dtype)

    def apply_rotary(
        self, q: mx.array, k: mx.array, position_ids: mx.array, *, unsqueeze_dim: int = 1, cast_output: bool = True
    ) -> tuple[mx.array, mx.array]:
        """Return q and k rotated.

        Args:
            q: (batch, heads, seq, width), or (batch, seq, heads, width) where unsqueeze_dim is 2.
            k: As q.
            position_ids: (batch, seq) or (axes, batch, seq).
            unsqueeze_dim: The axis of the heads.
            cast_output: Return the dtype of q and k; otherwise float32.
        """
        if not cast_output:
            q, k = q.astype(mx.float32), k.astype(mx.float32)
        if unsqueeze_dim not in _ORDERS:
            raise RopeConfigError(f"unsqueeze_dim must be 1 or 2, got {unsqueeze_dim!r}")
        rotated: tuple[mx.array, mx.array] = self._rope(q, k, positions=position_ids, order=_ORDERS[unsqueeze_dim])
        return rotated


def plan(model: nn.Module, config: object, options: Options) -> PatchPlan:
    """Return what `tightrope.patch` changes in an mlx-vlm model; see `tightrope.backends.patching.patch`."""
    title = (
        f"{type(model).__module__.rpartition('.')[2]}.{type(model).__name__} (mlx-vlm {metadata.version('mlx-vlm')})"
    )
    rope = own_config(config) if config is not None else _kept(model, title)
    return plan_layers(text_layers(model, title), title, rope, options, _serve)


def _kept(model: nn.Module, title: str) -> ModelRope:
    config = getattr(model, "config", None)
    return kept_config(getattr(config, "text_config", config), title)


def text_layers(model: nn.Module, title: str) -> list[nn.Module]:
    """Return the decoder layers of the text part.

    Raises:
        RopeConfigError: They are not where mlx-vlm 0.7 has them.
    """
    text = getattr(model, "language_model", model)
    for part in (text, getattr(text, "model", None)):
        layers = getattr(part, "layers", None)
        if isinstance(layers, list) and layers and all(isinstance(layer, nn.Module) for layer in layers):
            return layers
    raise RopeConfigError(f"{title} has no list of layers under .language_model, where mlx-vlm 0.7 has it. {UNTOUCHED}")


def _serve(
    place: RopePlace, index: int, rope: ModelRope, options: Options, steps: SharedSteps
) -> tuple[list[Swap], PartReport]:
    """Return what changes at one rope and what to say about it."""
    if not hasattr(place.rope, "apply_rotary"):
        return serve_rope(place, index, rope, options, steps)
    config = rope.for_layer(index)
    part = PartReport("", None, None, "left alone")
    if config is None:
        return [], replace(part, why="this layer has no position embedding")
    style = getattr(place.rope, "style", None)
    if style not in _MERGED or config.layout != "half":
        raise RopeConfigError(
            f"{type(place.rope).__name__} gives cos and sin in style {style!r}, and {in_words(config)} is wanted; only "
            f"{' and '.join(map(repr, _MERGED))} with pairs half a head apart are known here. {UNTOUCHED}"
        )
    new = MLXRotary(config, **options.rotary())
    swaps = [Swap(place.owner, place.name, new.train(place.rope.training), place.rope)]
    return swaps, replace(part, rope=in_words(config), action="rope", path=host.path(host.devices()[0]))
