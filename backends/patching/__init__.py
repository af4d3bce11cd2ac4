"""Whole models: patch one, undo that, load one patched."""

from tightrope.backends.patching.models import patch, patched, unpatch

__all__ = ["patch", "patched", "unpatch"]
