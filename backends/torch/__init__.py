"""The PyTorch backend: CUDA, Apple MPS and CPU."""

import sys

from tightrope.backends.torch.distributed.dtensor import register_shardings
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

# Importing DTensors takes a while; who uses them has done it, or does it before the first one is rotated.
if "torch.distributed.tensor" in sys.modules:
    register_shardings()
