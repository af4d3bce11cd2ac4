"""How far cos and sin are off at a position, under each precision: why exact phases are the default."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from tightrope.rope.config.rope import RopeConfig
from tightrope.verify.parity.cases import Call
from tightrope.verify.parity.checks import PRECISIONS
from tightrope.verify.parity.subjects import Exact, Subject

POSITIONS: Final = (4_095, 131_071, 1_048_575, 9_999_999)
_WINDOW: Final = 16

Figures = Mapping[str, Mapping[int, Mapping[str, float]]]


def cos_sin_errors(rope: RopeConfig, subject: Subject, position: int) -> dict[str, float]:
    """Return, by precision, the largest error of cos and sin against exact arithmetic at positions up to this one.

    The last 16 positions are looked at: at a single one a lucky angle can hide an error.
    """
    positions = np.arange(position - _WINDOW + 1, position + 1)[None]
    call = Call("", positions, {"positions": positions})
    exact = Exact().cos_sin(rope, call, "exact")
    return {
        precision: max(
            float(np.abs(part - truth).max())
            for part, truth in zip(subject.cos_sin(rope, call, precision), exact, strict=True)
        )
        for precision in PRECISIONS
    }


def precision_figures(rope: RopeConfig, subjects: Sequence[Subject], positions: Sequence[int] = POSITIONS) -> Figures:
    """Return the errors of cos and sin: backend → position → precision → error."""
    return {
        subject.name: {position: cos_sin_errors(rope, subject, position) for position in positions}
        for subject in subjects
    }
