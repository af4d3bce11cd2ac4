"""The MLX backend: Apple silicon, also CUDA and CPU."""

from tightrope.backends.mlx.export import exporting
from tightrope.backends.mlx.interop import (
    asarray,
    compiled,
    devices,
    dtypes,
    name,
    on,
    path,
    synchronize,
    to_numpy,
    version,
    vjp,
)
from tightrope.backends.mlx.module import RotaryEmbedding, rotate

__all__ = [
    "RotaryEmbedding", "asarray", "compiled", "devices", "dtypes", "exporting", "name", "on", "path", "rotate",
    "synchronize", "to_numpy", "version", "vjp",
]  # fmt: skip
