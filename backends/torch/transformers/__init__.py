"""Tightrope inside a transformers model."""

from tightrope.backends.torch.transformers.handler import plan
from tightrope.backends.torch.transformers.rotary import HFRotary

__all__ = ["HFRotary", "plan"]
