"""Tightrope inside an mlx-lm model."""

from tightrope.backends.mlx.mlx_lm.handler import plan
from tightrope.backends.mlx.mlx_lm.rope import MLXRope
from tightrope.backends.patching.loading import load_mlx

__all__ = ["MLXRope", "load_mlx", "plan"]
