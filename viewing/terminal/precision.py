"""Errors of cos and sin by position, as a person reads them."""

from typing import TYPE_CHECKING

from tightrope.verify.accuracy.positions import Figures
from tightrope.verify.parity.checks import PRECISIONS

if TYPE_CHECKING:
    from tightrope.viewing.terminal.console import Screen


def print_errors(screen: "Screen", figures: Figures) -> None:
    """Print a row per position, and per backend a column for each precision."""
    from tightrope.viewing.terminal.console import grid, print_grid

    headings = ("position", *(f"{subject}\n{precision}" for subject in figures for precision in PRECISIONS))
    rows = [
        (f"{position:,}", *(f"{errors[position][one]:.1e}" for errors in figures.values() for one in PRECISIONS))
        for position in next(iter(figures.values()), ())
    ]
    print_grid(screen, grid(headings, rows, left=0))
