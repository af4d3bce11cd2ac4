"""Positions as transformers gives them, also of a float dtype."""

from dataclasses import replace
from typing import Any

import torch

from tightrope.backends.torch.module import RotaryEmbedding
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.schedule import FrequencySchedule

CosSin = tuple[torch.Tensor, torch.Tensor]


class ModelAngles:
    """cos and sin of a step, one entry per pair, float32 (batch, seq, rotary_dim // 2).

    Args:
        model: The ropes.
        rotary: The arguments of `RotaryEmbedding`.
    """

    def __init__(self, model: ModelRope | RopeConfig, **rotary: Any) -> None:
        self.rope = RotaryEmbedding(model, **rotary)
        self._schedules = {
            key: FrequencySchedule(rope, self.rope.policy, self.rope.switch)
            for key, rope in self.rope.model.ropes.items()
        }
        self._fractions = _with_fractions(self.rope.model)

    def at(self, positions: torch.Tensor, layer_type: str | None) -> CosSin:
        """Return the angles at positions, (batch, seq) or (axes, batch, seq).

        Whole numbers are exact in any dtype. Fractions, times of audio and video, take float32 angles where the rope
        has several axes and frequencies that do not follow the length.

        Raises:
            RopeConfigError: There are several ropes and no layer_type. A fraction, and the rope has none, where
                positions are on a CPU and no compiler traces.
        """
        key = self.rope.model.key(layer_type)
        if positions.is_floating_point():
            return self._at_floats(positions, key)
        # A compiler cannot make a graph of frequencies that the host computes from the length.
        apart = self._on_host(self._schedules[key]) and torch.compiler.is_dynamo_compiling()
        return _outside_graphs(self, positions, key) if apart else self.at_integers(positions, key)

    def at_integers(self, positions: torch.Tensor, key: str) -> CosSin:
        """Return the angles at integer positions, each document of a row by its own length, also within a graph."""
        schedule = self._schedules[key]
        if not torch.compiler.is_compiling() or schedule.fixed or schedule.policy != "row" or _of_axes(positions):
            return self.rope.cos_sin(positions, layer_type=key)
        rows = positions.reshape(-1, positions.shape[-1])
        lengths = self.rope.ops.document_lengths(rows)
        cos, sin = self.rope.cos_sin(rows.reshape(-1, 1), seq_len=lengths.reshape(-1), layer_type=key)
        return cos.reshape(*rows.shape, -1), sin.reshape(*rows.shape, -1)

    def _at_floats(self, positions: torch.Tensor, key: str) -> CosSin:
        nearest = positions.round()
        exact = self.at(nearest.to(torch.int64), key)
        if self._fractions is None or self._fractions.model.ropes[key].mrope is None:
            if self._readable(positions) and not torch.equal(nearest, positions):
                raise RopeConfigError("positions must be whole numbers, got fractions: this rope counts tokens")
            return exact
        by_pair = self._by_pair(nearest == positions, key)
        near = self._fractions.cos_sin(positions.float(), layer_type=key)
        return torch.where(by_pair, exact[0], near[0]), torch.where(by_pair, exact[1], near[1])

    def _by_pair(self, whole: torch.Tensor, key: str) -> torch.Tensor:
        """Return (batch, seq, pairs or 1): what holds for the axis that each pair follows."""
        rope = self.rope.model.ropes[key]
        if whole.ndim < 3 or whole.shape[0] == 1 or rope.mrope is None:
            return whole.reshape(-1, whole.shape[-1], 1)
        return whole[list(rope.mrope.pair_axes(rope.pairs))].movedim(0, -1)

    def _readable(self, positions: torch.Tensor) -> bool:
        if torch.compiler.is_compiling():
            return False
        return positions.is_cpu and self.rope.ops.place(positions) is not None

    def _on_host(self, schedule: FrequencySchedule) -> bool:
        return not schedule.fixed and schedule.boundary is None


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch does not type its decorator
def _outside_graphs(angles: ModelAngles, positions: torch.Tensor, key: str) -> CosSin:
    return angles.at_integers(positions, key)


def _of_axes(positions: torch.Tensor) -> bool:
    return positions.ndim == 3 and positions.shape[0] > 1


def _with_fractions(model: ModelRope) -> RotaryEmbedding | None:
    """Return the ropes that take fractional positions, in float32; None where there are none."""
    ropes = {
        key: rope.replace(fractional=True) if rope.mrope and not rope.scaling.follows_length else rope
        for key, rope in model.ropes.items()
    }
    if not any(rope.fractional for rope in ropes.values()):
        return None
    return RotaryEmbedding(replace(model, ropes=ropes), precision="float32")
