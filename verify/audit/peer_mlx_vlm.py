"""mlx-vlm's own ropes, for the audit: its model built without weights, its rope objects called."""

import copy
import importlib
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from tightrope.backends.mlx.mlx_lm.places import rope_modules
from tightrope.backends.mlx.mlx_vlm import plan, text_layers
from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import RopeConfigError
from tightrope.verify.audit.peer_mlx_lm import REFUSALS, completed_until_built, why_not
from tightrope.verify.audit.peers import Built, PeerLacks, PeerRefuses

_PARTS = ("text", "vision", "perceiver", "projector", "audio")


class BuiltMlxVlm(Built):
    """See `tightrope.verify.audit.peers.Built`."""

    def __init__(self, model: nn.Module, rope: ModelRope) -> None:
        self.model = model
        self.rope = rope

    def rotate(self, layer: int, x: NDArray[np.float32], offset: int) -> NDArray[np.float32]:
        """See `tightrope.verify.audit.peers.Built.rotate`; M-RoPE gets the same position on every axis."""
        try:
            found = [place.rope for place in rope_modules(text_layers(self.model, "mlx-vlm")[layer])]
        except RopeConfigError as error:
            raise PeerLacks(str(error)) from error
        if not found:
            raise PeerLacks("it applies its own rotation function")
        try:
            rotated = _turned(found[0], mx.array(x), offset)
        except REFUSALS as error:
            raise PeerRefuses(f"{type(error).__name__}: {error}") from error
        return np.array(rotated.astype(mx.float32))

    def mends(self) -> str:
        """See `tightrope.verify.audit.peers.Built.mends`."""
        return why_not(plan, self.model, self.rope)


def _turned(rope: Any, x: mx.array, offset: int) -> mx.array:
    if not hasattr(rope, "apply_rotary"):
        rotated: mx.array = rope(x, offset=offset)
        return rotated
    positions = mx.broadcast_to(mx.arange(offset, offset + x.shape[2]), (3, 1, x.shape[2]))
    q, _ = rope.apply_rotary(x, x, positions)
    result: mx.array = q
    return result


def build(config: dict[str, Any], model: ModelRope, context: int | None = None) -> BuiltMlxVlm:
    """See `tightrope.verify.audit.peers.Peer.build`."""
    utils = importlib.import_module("mlx_vlm.utils")
    try:
        module, _ = utils.get_model_and_args(dict(config))
    except (ValueError, ImportError, KeyError) as error:
        raise PeerLacks(f"it has no model_type {config.get('model_type', '')!r}") from error

    def construct(complete: dict[str, Any]) -> BuiltMlxVlm:
        # Some classes move the keys of a flat file into its text part themselves, in what they are given: a copy.
        own = copy.deepcopy(complete)
        own["text_config"] = own.get("text_config") or {}
        arguments = module.ModelConfig.from_dict(own)
        return BuiltMlxVlm(module.Model(utils.update_module_configs(arguments, module, own, _PARTS)), model)

    parts: dict[str, Any] = {"vision_config": {}, "audio_config": {}}
    return completed_until_built(construct, {**parts, **config}, module)
