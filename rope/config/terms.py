"""The words in which a rotation is described."""

from typing import Literal

Layout = Literal["half", "interleaved", "halves"]
Side = Literal["head", "tail"]

LAYOUTS: tuple[Layout, ...] = ("half", "interleaved")
"""What a kernel takes; a rotation in layout "halves" is two in layout "half"."""
ALL_LAYOUTS: tuple[Layout, ...] = (*LAYOUTS, "halves")
SIDES: tuple[Side, ...] = ("head", "tail")
