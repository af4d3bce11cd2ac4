"""An attention layer on PyTorch: queries and keys rotated by Tightrope, with a key cache for decoding.

    python attention_torch.py

Prints how far decoding token by token is from the whole sequence at once.
"""

import torch
from torch.nn.functional import scaled_dot_product_attention

import tightrope
from tightrope.backends.torch import RotaryEmbedding

CONFIG = {
    "model_type": "llama", "hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 2,
    "num_hidden_layers": 1, "max_position_embeddings": 4096, "rope_theta": 500000.0,
}  # fmt: skip


class Attention(torch.nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, width: int, heads: int, kv_heads: int, rope: RotaryEmbedding) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.rope = heads, kv_heads, rope
        head_dim = width // heads
        self.q = torch.nn.Linear(width, heads * head_dim, bias=False)
        self.k = torch.nn.Linear(width, kv_heads * head_dim, bias=False)
        self.v = torch.nn.Linear(width, kv_heads * head_dim, bias=False)
        self.out = torch.nn.Linear(heads * head_dim, width, bias=False)

    def forward(self, x: torch.Tensor, cache: list[torch.Tensor] | None = None) -> torch.Tensor:
        """Return attention over x, (batch, seq, width), and over what the cache holds; extends the cache."""
        batch, seq, _ = x.shape
        q = self.q(x).view(batch, seq, self.heads, -1).transpose(1, 2)
        k = self.k(x).view(batch, seq, self.kv_heads, -1).transpose(1, 2)
        v = self.v(x).view(batch, seq, self.kv_heads, -1).transpose(1, 2)
        past = cache[0].shape[2] if cache else 0
        q, k = self.rope(q, k, offset=past)
        if cache is not None:
            if cache:
                k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
            cache[:] = [k, v]
        mixed = scaled_dot_product_attention(q, k, v, is_causal=past == 0 and seq > 1, enable_gqa=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


def main() -> float:
    """Return the largest difference between decoding and the whole sequence at once."""
    torch.manual_seed(0)
    layer = Attention(256, 8, 2, RotaryEmbedding(tightrope.read(CONFIG)))
    x = torch.randn(2, 12, 256)
    cache: list[torch.Tensor] = []
    with torch.no_grad():
        whole = layer(x)
        steps = [layer(x[:, :8], cache), *(layer(x[:, at : at + 1], cache) for at in range(8, 12))]
    return float((torch.cat(steps, 1) - whole).abs().max())


if __name__ == "__main__":
    print(f"prefill of 8 tokens and 4 decoded ones against all 12 at once: {main():.1e} apart")
