"""A Phi-3-like decoder layer (LongRoPE, part of each head rotates) in the style of transformers 4.x."""

import torch
from torch import nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, dynamic_rope_update

from ported import llama


class RotaryEmbedding(nn.Module):
    def __init__(self, config, device=None):
        super().__init__()
        self.rope_type = config.rope_parameters["rope_type"]
        self.max_seq_len_cached = config.max_position_embeddings
        self.original_max_seq_len = config.max_position_embeddings
        self.config = config
        inv_freq, self.attention_scaling = ROPE_INIT_FUNCTIONS[self.rope_type](self.config, device)
        self.register_buffer("inv_freq", inv_freq, persistent=False)
        self.original_inv_freq = inv_freq.clone()

    @torch.no_grad()
    @dynamic_rope_update
    def forward(self, x, position_ids):
        freqs = position_ids[..., None].float() * self.inv_freq
        emb = torch.cat((freqs, freqs), dim=-1)
        return (emb.cos() * self.attention_scaling).to(x.dtype), (emb.sin() * self.attention_scaling).to(x.dtype)


def apply_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim=1):
    width = cos.shape[-1]
    rotated = llama.apply_rotary_pos_emb(q[..., :width], k[..., :width], cos, sin, unsqueeze_dim)
    return tuple(torch.cat((y, x[..., width:]), dim=-1) for x, y in zip((q, k), rotated, strict=True))


class Decoder(llama.Decoder):
    Rotary = RotaryEmbedding

    def rotated(self, q, k, x, position_ids):
        cos, sin = self.rotary_emb(x, position_ids)
        return apply_rotary_pos_emb(q, k, cos, sin)
