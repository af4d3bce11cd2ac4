"""One case of the sweep: a rope of a configuration, and the positions to try it at."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sweep.subjects.settings import CONFIGURATIONS, SWITCHED_ON
from sweep.theirs.driving import Rope, attribute

LENGTH_TYPES = ("dynamic", "longrope")


@dataclass
class Case:
    """One rope of one configuration.

    Attributes:
        rope: The rope, as transformers runs it.
        config: The configuration as a file would hold it.
        configuration: "default" or a label of settings.CONFIGURATIONS.
        variant: "default" or a label of `ROPE_TYPES`.
        content: What the positions are of: "text", all axes alike; a "picture" within text; the "patches" of one.
        file: The file that the configuration was made of, where that is not what it says itself.
    """

    rope: Rope
    config: object
    configuration: str
    variant: str
    content: str = "text"
    file: dict | None = None

    @property
    def family(self) -> str:
        return self.rope.rotary.family

    @cached_property
    def name(self) -> str:
        rope = self.rope
        content = self.content if self.content != "text" else ""
        parts = [type(self.config).__name__, self.configuration, self.variant, rope.label, content]
        return f"{self.family}/{rope.rotary.cls.__name__}/" + "/".join(filter(None, parts))

    @cached_property
    def head_dim(self) -> int:
        return self.rope.head_dim

    def positions(self) -> list[np.ndarray]:
        """Return (batch, seq), or (axes, batch, seq) where the axes differ."""
        if self.content == "patches":
            return self.rope.grids()
        if self.content == "picture":
            return [_picture(self.rope.axes, start) for start in (0, 4088, 32760, 131064)]
        starts = [0, 4088, 32760, 131064]
        if not self.follows_length:
            return [_runs(starts)]
        edges = [_runs([max(edge - 16, 0), edge - 15]) for edge in self._edges()]
        return [*(_runs([start]) for start in starts), _runs([0, 1000, 5003]), *edges]

    def for_family(self, positions: np.ndarray) -> np.ndarray:
        """Return the positions as the family's module takes them."""
        return np.stack([positions] * self.rope.axes) if positions.ndim < 3 and self.rope.axes > 1 else positions

    @property
    def is_switched_off(self) -> bool:
        """Whether this configuration leaves the rope out: its class keeps it, its attention does not call it."""
        return self.configuration == "default" and SWITCHED_ON in CONFIGURATIONS.get(type(self.config).__name__, {})

    @property
    def follows_length(self) -> bool:
        return self.rope.rope_type in LENGTH_TYPES

    def _edges(self) -> list[int]:
        """Return the lengths past which the frequencies change."""
        longest = attribute(self.config, "max_position_embeddings") or 2048
        original = self.rope.block.get("original_max_position_embeddings", longest)
        return [longest, 2 * longest] if self.rope.rope_type == "dynamic" else [original]


def heads(width: int, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return q and k for these positions, the same for every case of this width."""
    batch, seq = positions.shape[-2:]
    values = np.random.default_rng(width).standard_normal((2, batch, 1, seq, width), dtype=np.float32)
    return values[0], values[1]


def _runs(starts: list[int]) -> np.ndarray:
    return np.stack([np.arange(start, start + 16) for start in starts]).astype(np.int64)


def _picture(axes: int, start: int) -> np.ndarray:
    """Return 4 tokens of text, a grid of 2 × 3 × 4, text again: every axis differs from the others."""
    grid = np.stack(np.meshgrid(*map(np.arange, (2, 3, 4)), indexing="ij")).reshape(3, -1)
    grid = np.concatenate([grid, grid[:1] + 7])[:axes] + start + 4
    text = np.stack([np.arange(4)] * axes) + start
    row = np.concatenate([text, grid, text + grid.max() + 1 - start], axis=1)
    return np.stack([row, row + 37], axis=1).astype(np.int64)
