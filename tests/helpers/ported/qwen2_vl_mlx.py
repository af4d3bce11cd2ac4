"""A Qwen2-VL-like decoder layer (three position axes), its array calls changed to MLX's."""

import mlx.core as mx
import mlx.nn as nn

from ported import llama_mlx
from tightrope.backends.mlx.rope_utils import (
    ROPE_INIT_FUNCTIONS,
    apply_multimodal_rotary_pos_emb,
    dynamic_rope_update,
)


class RotaryEmbedding(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.rope_type = config.rope_parameters["rope_type"]
        self.config = config
        self.inv_freq, self.attention_scaling = ROPE_INIT_FUNCTIONS[self.rope_type](self.config)

    @dynamic_rope_update
    def __call__(self, x, position_ids):
        freqs = position_ids[..., None].astype(mx.float32) * self.inv_freq
        emb = mx.concatenate([freqs, freqs], axis=-1)
        cos, sin = mx.cos(emb) * self.attention_scaling, mx.sin(emb) * self.attention_scaling
        return cos.astype(x.dtype), sin.astype(x.dtype)


class Decoder(llama_mlx.Decoder):
    Rotary = RotaryEmbedding

    def rotated(self, q, k, x, position_ids):
        cos, sin = self.rotary_emb(x, position_ids)
        sections = self.rotary_emb.config.rope_parameters["mrope_section"]
        return apply_multimodal_rotary_pos_emb(q, k, cos, sin, sections)
