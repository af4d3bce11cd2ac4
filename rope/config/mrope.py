"""Several position axes in one head (M-RoPE, axial): which axis rotates which pair, at which frequency."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from tightrope.rope.errors import shortened
from tightrope.rope.support.called import fields_in_words
from tightrope.rope.support.validation import list_of, one_of, require

AxisOrder = Literal["chunked", "interleaved", "spatial_first", "reversed_chunked", "reversed_interleaved"]
Progression = Literal["shared", "own", "dealt"]

PROGRESSIONS: tuple[Progression, ...] = ("shared", "own", "dealt")


@fields_in_words()
@dataclass(frozen=True, kw_only=True)
class MRope:
    """Sections of the pairs, one per position axis (time, height, width, …).

    Attributes:
        sections: Pairs per axis; they add up to the rotated pairs.
        order: `"chunked"`: the first sections[0] pairs follow axis 0, the next axis 1, … (Qwen2-VL, arXiv:2409.12191).
            `"interleaved"`: pair p follows axis p mod axes while that axis has pairs left, the rest axis 0 (Qwen3-VL).
            `"spatial_first"`: height and width in turn, then time (ERNIE-4.5-VL). `"reversed_…"`: the last axis first.
        progression: `"shared"`: pair p turns at frequency p of the head's one progression, whatever its axis (M-RoPE).
            `"own"`: each axis has a whole progression, base ** (-2 j / (2 · its pairs)), over its pairs (axial towers).
            `"dealt"`: the head's frequencies are dealt to the axes in turn: axis a has a, a + axes, … (Pixtral).
    """

    sections: tuple[int, ...]
    order: AxisOrder = "chunked"
    progression: Progression = "shared"

    def __post_init__(self) -> None:
        require(list_of("mrope_section", self.sections, "pairs per axis, such as (16, 24, 24)"))
        object.__setattr__(self, "sections", tuple(self.sections))
        require(list(self._own_problems()) or self._joint_problems())

    def _own_problems(self) -> Iterator[str]:
        if not self.sections:
            yield "mrope_section must name at least one axis, got []"
        for section in self.sections:
            if not isinstance(section, int) or isinstance(section, bool) or section < 0:
                yield f"mrope_section must hold whole numbers >= 0, got {shortened(section)}"
        yield from one_of("mrope order", self.order, ORDERS)
        yield from one_of("progression", self.progression, PROGRESSIONS)

    def _joint_problems(self) -> Iterator[str]:
        if self.order == "spatial_first" and (len(self.sections) != 3 or self.sections[1] != self.sections[2]):
            yield f"mrope order 'spatial_first' needs three sections, height and width alike, got {list(self.sections)}"
        if self.progression == "dealt" and len(set(self.sections)) > 1:
            yield f"progression 'dealt' needs sections that are all alike, got {list(self.sections)}"

    @property
    def axes(self) -> int:
        """The number of position axes."""
        return len(self.sections)

    def pair_axes(self, pairs: int) -> tuple[int, ...]:
        """Return, for each rotated pair, the axis whose position rotates it."""
        return ORDERS[self.order](self.sections, pairs)


def _chunked(sections: tuple[int, ...], pairs: int) -> tuple[int, ...]:
    return tuple(axis for axis, section in enumerate(sections) for _ in range(section))[:pairs]


def _interleaved(sections: tuple[int, ...], pairs: int) -> tuple[int, ...]:
    axes = len(sections)
    return tuple(p % axes if p < axes * sections[p % axes] else 0 for p in range(pairs))


def _spatial_first(sections: tuple[int, ...], pairs: int) -> tuple[int, ...]:
    spatial = sections[1] + sections[2]
    return tuple(1 + p % 2 if p < spatial else 0 for p in range(pairs))


def _reversed(order: Callable[[tuple[int, ...], int], tuple[int, ...]]) -> Callable[..., tuple[int, ...]]:
    return lambda sections, pairs: tuple(len(sections) - 1 - axis for axis in order(sections[::-1], pairs))


ORDERS: dict[AxisOrder, Callable[[tuple[int, ...], int], tuple[int, ...]]] = {
    "chunked": _chunked,
    "interleaved": _interleaved,
    "spatial_first": _spatial_first,
    "reversed_chunked": _reversed(_chunked),
    "reversed_interleaved": _reversed(_interleaved),
}
