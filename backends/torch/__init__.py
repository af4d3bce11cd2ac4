"""The PyTorch backend: CUDA, Apple MPS and CPU."""

from tightrope.backends.torch.host import asarray, devices, dtypes, name, on, path, synchronize, to_numpy, version
from tightrope.backends.torch.module import RotaryEmbedding, rotate
from tightrope.backends.torch.transforms import compiled, vjp

__all__ = [
    "RotaryEmbedding", "asarray", "compiled", "devices", "dtypes", "name", "on", "path", "rotate", "synchronize",
    "to_numpy", "version", "vjp",
]  # fmt: skip
