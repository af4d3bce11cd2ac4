"""Tightrope inside a transformers model."""

from tightrope.backends.torch.transformers.handler import plan
from tightrope.backends.torch.transformers.kernels import register_kernels
from tightrope.backends.torch.transformers.legacy import legacy_names
from tightrope.backends.torch.transformers.rotary import HFRotary

__all__ = ["HFRotary", "legacy_names", "plan", "register_kernels"]
