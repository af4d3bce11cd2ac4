"""An attention layer on MLX: queries and keys rotated by Tightrope, with a key cache for decoding.

    python attention_mlx.py

Prints how far decoding token by token is from the whole sequence at once.
"""

import mlx.core as mx
import mlx.nn as nn

import tightrope
from tightrope.backends.mlx import RotaryEmbedding

CONFIG = {
    "model_type": "llama", "hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 2,
    "num_hidden_layers": 1, "max_position_embeddings": 4096, "rope_theta": 500000.0,
}  # fmt: skip


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, width: int, heads: int, kv_heads: int, rope: RotaryEmbedding) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.rope = heads, kv_heads, rope
        self.head_dim = width // heads
        self.q = nn.Linear(width, heads * self.head_dim, bias=False)
        self.k = nn.Linear(width, kv_heads * self.head_dim, bias=False)
        self.v = nn.Linear(width, kv_heads * self.head_dim, bias=False)
        self.out = nn.Linear(heads * self.head_dim, width, bias=False)

    def __call__(self, x: mx.array, cache: list[mx.array] | None = None) -> mx.array:
        """Return attention over x, (batch, seq, width), and over what the cache holds; extends the cache."""
        batch, seq, _ = x.shape
        q = self.q(x).reshape(batch, seq, self.heads, -1).swapaxes(1, 2)
        k = self.k(x).reshape(batch, seq, self.kv_heads, -1).swapaxes(1, 2)
        v = self.v(x).reshape(batch, seq, self.kv_heads, -1).swapaxes(1, 2)
        past = cache[0].shape[2] if cache else 0
        q, k = self.rope(q, k, offset=past)
        if cache is not None:
            if cache:
                k, v = mx.concatenate([cache[0], k], 2), mx.concatenate([cache[1], v], 2)
            cache[:] = [k, v]
        mask = "causal" if past == 0 and seq > 1 else None
        mixed = mx.fast.scaled_dot_product_attention(q, k, v, scale=self.head_dim**-0.5, mask=mask)
        return self.out(mixed.swapaxes(1, 2).reshape(batch, seq, -1))


def main() -> float:
    """Return the largest difference between decoding and the whole sequence at once."""
    mx.random.seed(0)
    layer = Attention(256, 8, 2, RotaryEmbedding(tightrope.read(CONFIG)))
    x = mx.random.normal((2, 12, 256))
    cache: list[mx.array] = []
    whole = layer(x)
    steps = [layer(x[:, :8], cache), *(layer(x[:, at : at + 1], cache) for at in range(8, 12))]
    return float(mx.abs(mx.concatenate(steps, 1) - whole).max())


if __name__ == "__main__":
    print(f"prefill of 8 tokens and 4 decoded ones against all 12 at once: {main():.1e} apart")
