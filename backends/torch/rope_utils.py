"""The names of `transformers.modeling_rope_utils`, and of the modeling files written for it, on PyTorch.

A modeling file changes its import line and nothing else. New code takes `tightrope.backends.torch.RotaryEmbedding`.
"""

from typing import Any, Final

import torch

from tightrope.backends.shared.rope_utils import configured
from tightrope.backends.torch import module
from tightrope.backends.torch.transformers.names import INIT_FUNCTIONS, NAMES
from tightrope.backends.torch.transformers.positions import ModelAngles
from tightrope.rope.rope_utils import RopeParameters, RotaryEmbeddingConfigMixin, rope_config_validation

__all__ = [
    "ROPE_INIT_FUNCTIONS", "RopeParameters", "RotaryEmbedding", "RotaryEmbeddingConfigMixin",
    "apply_multimodal_rotary_pos_emb", "apply_rotary_emb", "apply_rotary_pos_emb", "apply_rotary_pos_emb_interleave",
    "dynamic_rope_update", "precompute_freqs_cis", "rope_config_validation", "rotate_half",
]  # fmt: skip

ROPE_INIT_FUNCTIONS: Final = INIT_FUNCTIONS
_compute_default_rope_parameters = ROPE_INIT_FUNCTIONS["default"]
_compute_linear_scaling_rope_parameters = ROPE_INIT_FUNCTIONS["linear"]
_compute_dynamic_ntk_parameters = ROPE_INIT_FUNCTIONS["dynamic"]
_compute_yarn_parameters = ROPE_INIT_FUNCTIONS["yarn"]
_compute_longrope_parameters = ROPE_INIT_FUNCTIONS["longrope"]
_compute_llama3_parameters = ROPE_INIT_FUNCTIONS["llama3"]
_compute_proportional_rope_parameters = ROPE_INIT_FUNCTIONS["proportional"]

dynamic_rope_update = NAMES.dynamic_rope_update
rotate_half = NAMES.rotate_half
apply_rotary_pos_emb = NAMES.apply_rotary_pos_emb
apply_rotary_pos_emb_interleave = NAMES.apply_rotary_pos_emb_interleave
apply_multimodal_rotary_pos_emb = NAMES.apply_multimodal_rotary_pos_emb
precompute_freqs_cis = NAMES.precompute_freqs_cis
apply_rotary_emb = NAMES.apply_rotary_emb


class RotaryEmbedding(torch.nn.Module):
    """A rotary module with transformers' call: `(x, position_ids, layer_type=None)` → cos, sin at full width.

    The phases are exact, whatever the dtype of x; each row follows its own length (policy `"row"`). Nothing in it is a
    parameter or a buffer.

    Args:
        config: See `tightrope.rope.rope_utils.model_of`.
        device: Where `inv_freq` is placed; cos and sin are made on the device of the positions.
        rotary: `precision`, `policy` and `switch` of `tightrope.backends.torch.RotaryEmbedding`.
    """

    def __init__(self, config: Any = None, device: Any = None, **rotary: Any) -> None:
        super().__init__()
        self._angles = ModelAngles(configured(config, rotary), **rotary)
        self.config = config
        self._device = device

    @property
    def rope(self) -> module.RotaryEmbedding:
        """The module that new code takes."""
        return self._angles.rope

    @property
    def inv_freq(self) -> torch.Tensor:
        """The frequencies up to the original length, float32 (rotary_dim // 2,), radians per position."""
        inv_freq: torch.Tensor = NAMES.of_rope(self.rope.model.rope(), self._device)[0]
        return inv_freq

    @property
    def attention_scaling(self) -> float:
        """The attention factor at these frequencies, which cos and sin contain."""
        return NAMES.of_rope(self.rope.model.rope())[1]

    def forward(
        self, x: torch.Tensor, position_ids: torch.Tensor, layer_type: str | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cos and sin, (batch, seq, rotary_dim) each, in the dtype of x.

        Args:
            x: The hidden states, which give the dtype.
            position_ids: (batch, seq), or (axes, batch, seq) for M-RoPE.
            layer_type: Which rope; needed where there are several.
        """
        several = len(self.rope.model.ropes) > 1
        cos, sin = self._angles.at(position_ids, layer_type if several else None)
        cos, sin = (NAMES.concatenate((part, part)).to(x.dtype) for part in (cos, sin))
        return cos, sin

    def extra_repr(self) -> str:
        """Return the ropes in a line."""
        return self.rope.extra_repr()
