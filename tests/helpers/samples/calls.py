"""A rope and calls of it whose arguments a test chooses, on either backend."""

import numpy as np

import tightrope
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.longrope import LongRope

ROPE = tightrope.RopeConfig(
    head_dim=16, rotary_dim=16, base=1e4, layout="half", scaling=Default(), max_position_embeddings=2**20
)


def switching(original):
    """A rope whose long table, of another frequency, holds beyond so many tokens."""
    scaling = LongRope(
        short_factor=(1.0,) * 8, long_factor=(3.0,) * 8, original_max_position_embeddings=original, factor=2.0
    )
    return ROPE.replace(scaling=scaling)


class Bench:
    def __init__(self, backend):
        self.backend = backend

    def q(self, *shape):
        values = np.random.default_rng(0).standard_normal(shape or (1, 2, 3, 16))
        return self.array(values, "float32")

    def array(self, values, dtype="int64"):
        if self.backend.name == "torch":
            import torch

            return torch.from_numpy(np.asarray(values)).to(getattr(torch, dtype))
        import mlx.core as mx

        return mx.array(np.asarray(values)).astype(getattr(mx, dtype))

    def __call__(self, config, *args, **how):
        rotated = self.backend.RotaryEmbedding(config)(*(args or (self.q(),)), **how)
        return self.backend.to_numpy(rotated[0] if isinstance(rotated, tuple) else rotated)
