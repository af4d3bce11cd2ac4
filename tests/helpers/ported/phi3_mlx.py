"""A Phi-3-like decoder layer (LongRoPE, part of each head rotates), its array calls changed to MLX's."""

import mlx.core as mx
import mlx.nn as nn

from ported import llama_mlx
from tightrope.backends.mlx.rope_utils import ROPE_INIT_FUNCTIONS, dynamic_rope_update


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
