"""A Llama-like decoder layer in the style of transformers 4.x."""

import torch
from torch import nn
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, dynamic_rope_update


class RotaryEmbedding(nn.Module):
    def __init__(self, config, device=None):
        super().__init__()
        self.rope_type = config.rope_parameters.get("rope_type", config.rope_parameters.get("type"))
        self.max_seq_len_cached = config.max_position_embeddings
        self.original_max_seq_len = config.max_position_embeddings
        self.config = config
        self.rope_init_fn = ROPE_INIT_FUNCTIONS[self.rope_type]
        inv_freq, self.attention_scaling = self.rope_init_fn(self.config, device)
        self.register_buffer("inv_freq", inv_freq, persistent=False)
        self.original_inv_freq = self.inv_freq

    @torch.no_grad()
    @dynamic_rope_update
    def forward(self, x, position_ids):
        inv_freq = self.inv_freq[None, :, None].float().expand(position_ids.shape[0], -1, 1)
        freqs = (inv_freq @ position_ids[:, None, :].float()).transpose(1, 2)
        emb = torch.cat((freqs, freqs), dim=-1)
        return (emb.cos() * self.attention_scaling).to(x.dtype), (emb.sin() * self.attention_scaling).to(x.dtype)


def rotate_half(x):
    x1, x2 = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return torch.cat((-x2, x1), dim=-1)


def apply_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim=1):
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return (q * cos) + (rotate_half(q) * sin), (k * cos) + (rotate_half(k) * sin)


class Decoder:
    Rotary = RotaryEmbedding

    def __init__(self, config, weights):
        self.rotary_emb = self.Rotary(config)
        self.heads = config.num_attention_heads
        self.weights = {name: torch.from_numpy(value) for name, value in weights.items()}

    def attend(self, q, k, v):
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        return (scores + torch.full(scores.shape[-2:], -1e9).triu(1)).softmax(-1) @ v

    def rotated(self, q, k, x, position_ids):
        cos, sin = self.rotary_emb(x, position_ids)
        return apply_rotary_pos_emb(q, k, cos, sin)

    def logits(self, tokens, positions):
        w, x = self.weights, self.weights["embed"][torch.from_numpy(tokens)]
        q, k, v = ((x @ w[n]).unflatten(-1, (self.heads, -1)).transpose(1, 2) for n in "qkv")
        q, k = self.rotated(q, k, x, torch.from_numpy(positions))
        y = x + self.attend(q, k, v).transpose(1, 2).flatten(-2) @ w["o"]
        return (y @ w["embed"].T).numpy()
