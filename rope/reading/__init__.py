"""From what a file says, in any spelling, to what a rotation is."""

from tightrope.rope.reading.reader import ModelSource, model_from, read

__all__ = ["ModelSource", "model_from", "read"]
