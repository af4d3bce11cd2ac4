"""How lines and panels look: told apart by dash, marker and darkness, so that a black-and-white print says the same."""

from typing import Any, Final, Literal

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

UNSCALED: Final[dict[str, Any]] = {"color": "0.55", "linewidth": 3.0, "solid_capstyle": "butt"}
LINES: Final[tuple[dict[str, Any], ...]] = (
    {"color": "black", "linestyle": "-", "linewidth": 1.4},
    {"color": "#0072B2", "linestyle": "--", "linewidth": 1.6},
    {"color": "#D55E00", "linestyle": "-.", "linewidth": 1.6},
    {"color": "#009E73", "linestyle": ":", "linewidth": 2.0},
    {"color": "0.45", "linestyle": "-", "linewidth": 1.0},
    {"color": "#CC79A7", "linestyle": "--", "linewidth": 1.0},
)
MARKERS: Final = ("o", "s", "^", "D", "v", "P")
LENGTHS: Final = (":", "--")
"""Dashes of the horizontal lines at the original context and at the context."""

BLEND: Final[dict[str, Any]] = {"facecolor": "0.92", "edgecolor": "0.75", "hatch": "///", "linewidth": 0.0, "zorder": 0}

STILL: Final[dict[str, Any]] = {**BLEND, "facecolor": "0.85", "edgecolor": "0.7", "hatch": "xx"}


def line(index: int, *, every: int | None = None) -> dict[str, Any]:
    """Return how the index-th line of a panel looks, with a marker on every so many of its points.

    Markers of neighbouring lines stand on different points, so that lines on top of each other can still be counted.
    """
    looks = LINES[index % len(LINES)]
    if every is None:
        return looks
    return {**looks, "marker": MARKERS[index % len(MARKERS)], "markersize": 4, "markevery": (index % every, every)}


def panel(axes: Axes, title: str, x: str, y: str) -> None:
    """Name a panel and its axes, with their units."""
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def log_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis of ratios logarithmic, with plain numbers on it: 0.5, 1, 2, 5, 10."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def legend(axes: Axes, **where: Any) -> None:
    """Say which line is which."""
    axes.legend(fontsize=8, framealpha=0.9, edgecolor="0.8", handlelength=3.2, **where)
