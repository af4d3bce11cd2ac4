"""How far cos and sin are off at a position, under each precision: why exact phases are the default."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from tightrope.backends.parity.cases import Call
from tightrope.backends.parity.checks import PRECISIONS
from tightrope.backends.parity.subjects import Exact, Subject
from tightrope.rope.config import RopeConfig

POSITIONS: Final = (4_095, 131_071, 1_048_575, 9_999_999)
_WINDOW: Final = 16


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


def precision_table(rope: RopeConfig, subjects: Sequence[Subject], positions: Sequence[int] = POSITIONS) -> list[str]:
    """Return the lines of a Markdown table: a row per position, and per backend a column for each precision."""
    heading = ["position", *(f"{subject.name} {precision}" for subject in subjects for precision in PRECISIONS)]
    rows = [[f"{position:,}", *_cells(rope, subjects, position)] for position in positions]
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    rule = [f"{'-' * (width - 1)}:" for width in widths]
    return [
        f"| {' | '.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in (heading, rule, *rows)
    ]


def precision_figures(
    rope: RopeConfig, subjects: Sequence[Subject], positions: Sequence[int] = POSITIONS
) -> dict[str, dict[int, dict[str, float]]]:
    """Return the errors of that table: backend → position → precision → error."""
    return {
        subject.name: {position: cos_sin_errors(rope, subject, position) for position in positions}
        for subject in subjects
    }


def _cells(rope: RopeConfig, subjects: Sequence[Subject], position: int) -> Iterator[str]:
    for subject in subjects:
        yield from (f"{error:.1e}" for error in cos_sin_errors(rope, subject, position).values())
