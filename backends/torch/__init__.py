"""The PyTorch backend: CUDA, Apple MPS and CPU."""

from tightrope.backends.torch.interop import (
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
from tightrope.backends.torch.module import RotaryEmbedding, rotate

__all__ = [
    "RotaryEmbedding", "asarray", "compiled", "devices", "dtypes", "name", "on", "path", "rotate", "synchronize",
    "to_numpy", "version", "vjp",
]  # fmt: skip
