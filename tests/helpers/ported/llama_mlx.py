"""A Llama-like decoder layer in the style of transformers 4.x, its array calls changed to MLX's."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from tightrope.backends.mlx.rope_utils import ROPE_INIT_FUNCTIONS, apply_rotary_pos_emb, dynamic_rope_update


class RotaryEmbedding(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.rope_type = config.rope_parameters.get("rope_type", config.rope_parameters.get("type"))
        self.config = config
        self.rope_init_fn = ROPE_INIT_FUNCTIONS[self.rope_type]
        self.inv_freq, self.attention_scaling = self.rope_init_fn(self.config)

    @dynamic_rope_update
    def __call__(self, x, position_ids):
        inv_freq = mx.broadcast_to(self.inv_freq[None, :, None], (position_ids.shape[0], self.inv_freq.shape[0], 1))
        freqs = (inv_freq * position_ids[:, None, :].astype(mx.float32)).transpose(0, 2, 1)
        emb = mx.concatenate([freqs, freqs], axis=-1)
        cos, sin = mx.cos(emb) * self.attention_scaling, mx.sin(emb) * self.attention_scaling
        return cos.astype(x.dtype), sin.astype(x.dtype)


class Decoder:
    Rotary = RotaryEmbedding

    def __init__(self, config, weights):
        self.rotary_emb = self.Rotary(config)
        self.heads = config.num_attention_heads
        self.weights = {name: mx.array(value) for name, value in weights.items()}

    def attend(self, q, k, v):
        scores = q @ k.swapaxes(2, 3) * q.shape[-1] ** -0.5
        return mx.softmax(scores + mx.triu(mx.full(scores.shape[-2:], -1e9), 1), axis=-1) @ v

    def rotated(self, q, k, x, position_ids):
        cos, sin = self.rotary_emb(x, position_ids)
        return apply_rotary_pos_emb(q, k, cos, sin)

    def logits(self, tokens, positions):
        w, x = self.weights, self.weights["embed"][mx.array(tokens)]
        q, k, v = (mx.unflatten(x @ w[n], -1, (self.heads, -1)).transpose(0, 2, 1, 3) for n in "qkv")
        q, k = self.rotated(q, k, x, mx.array(positions))
        y = x + mx.flatten(self.attend(q, k, v).transpose(0, 2, 1, 3), -2) @ w["o"]
        return np.array(y @ w["embed"].T)
