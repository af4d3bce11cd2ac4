"""Positions as numpy arrays, for `positions=` of either backend."""

from tightrope.rope.positions.multimodal import multimodal_positions
from tightrope.rope.positions.patches import centre_positions, grid_positions
from tightrope.rope.positions.sequences import Packed, chunks, packed, padded, window
from tightrope.rope.positions.sharding import restore_order, shards

__all__ = [
    "Packed",
    "centre_positions",
    "chunks",
    "grid_positions",
    "multimodal_positions",
    "packed",
    "padded",
    "restore_order",
    "shards",
    "window",
]
