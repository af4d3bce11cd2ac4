"""The MLX backend: Apple silicon, also CUDA and CPU."""

from tightrope.backends.mlx.host import asarray, devices, dtypes, name, on, path, synchronize, to_numpy, version
from tightrope.backends.mlx.module import RotaryEmbedding, rotate
from tightrope.backends.mlx.transforms import compiled, vjp

__all__ = [
    "RotaryEmbedding", "asarray", "compiled", "devices", "dtypes", "name", "on", "path", "rotate", "synchronize",
    "to_numpy", "version", "vjp",
]  # fmt: skip
