"""What `tightrope.patch` did, layer by layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from tightrope.rope.config.description import describe
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig

Action = Literal["angles and rotation", "angles", "rope", "left alone"]


@dataclass(frozen=True)
class PartReport:
    """One place in a model where something rotates.

    Attributes:
        module: Its path in the model: `"model.layers.0.self_attn"`.
        layer: The decoder layer that it belongs to; None outside of them.
        rope: Which rope rotates it, in words; None where it has no position.
        action: What was replaced: the computation of cos and sin, the rotation with them, an mlx rope (both), nothing.
        path: Which code rotates there now.
        why: Why something was left alone, or what the model itself did otherwise.
    """

    module: str
    layer: int | None
    rope: str | None
    action: Action
    path: str = ""
    why: str = ""


@dataclass(frozen=True)
class PatchReport:
    """What was replaced in a model.

    Attributes:
        model: The model's class and the library it comes from, with version.
        parts: See `PartReport`.
        notes: What a person would want to know: notes of the configuration, differences that were fixed.
    """

    model: str
    parts: tuple[PartReport, ...]
    notes: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[PartReport, ...]:
        """The parts that belong to a decoder layer, in order."""
        return tuple(sorted((part for part in self.parts if part.layer is not None), key=lambda part: part.layer or 0))

    def __str__(self) -> str:
        return "\n".join([self.model, *_table(list(_rows(self.parts))), *(f"note: {note}" for note in self.notes)])


def _rows(parts: Sequence[PartReport]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each run of layers that are alike."""
    yield "part", "rope", "replaced", "by", ""
    for (rope, action, path, why, _), run in groupby(parts, key=_alike):
        members = list(run)
        yield _name(members), rope or "no position", action, path, why


def _alike(part: PartReport) -> tuple[str | None, str, str, str, object]:
    # A part outside the layers stands for itself.
    return part.rope, part.action, part.path, part.why, part.module if part.layer is None else None


def _name(members: Sequence[PartReport]) -> str:
    first, last = members[0], members[-1]
    if first.layer is None or len(members) == 1:
        return first.module
    return f"layers {first.layer}–{last.layer}"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def in_words(model: ModelRope | RopeConfig) -> str:
    """Return ropes in a few words: `"llama3, base 500,000, 64 of 128 channels, half"`."""
    ropes = model.ropes.values() if isinstance(model, ModelRope) else [model]
    return "; ".join(dict.fromkeys(map(describe, ropes)))
