"""From what a file says, in any spelling, to what a rotation is."""

from tightrope.rope.reading.reader import read

__all__ = ["read"]
