"""What a rotation is: `RopeConfig` for one rope, `ModelRope` for a model, layer by layer."""

from tightrope.rope.config.description import describe
from tightrope.rope.config.model import ModelRope, Spelling
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.config.terms import ALL_LAYOUTS, LAYOUTS, SIDES, Layout, Side

__all__ = ["ALL_LAYOUTS", "LAYOUTS", "SIDES", "Layout", "ModelRope", "RopeConfig", "Side", "Spelling", "describe"]
