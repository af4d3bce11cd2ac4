"""Bars for what `tightrope.verify.timing` measured."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tightrope.verify.timing import OURS, YARDSTICK, Row
from tightrope.viewing.pictures import style

_WIDTH: Final = 9.0
_BAR: Final = 0.3
_MARGIN: Final = 1.1


def speed_picture(rows: Sequence[Row], title: str) -> Figure:
    """Return a panel for each work: how many times as long as a copy everybody took, on one logarithmic axis.

    Args:
        rows: What `timing.run` returned, work by work.
        title: Printed on top.
    """
    works = [list(group) for _, group in groupby(rows, key=_work)]
    heights = [_MARGIN + _BAR * len(work) for work in works]
    layout = ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.1)
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.6), layout=layout)
    figure.suptitle(title, fontsize=14, fontweight="bold")
    panels = figure.subplots(len(works), 1, squeeze=False, height_ratios=heights)[:, 0]
    ratios = [row.ratio for row in rows]
    for axes, work in zip(panels, works, strict=True):
        _bars(axes, work)
        style.log_axis(axes, "x")
        axes.set_xlim(min(0.4, *(ratio / 2 for ratio in ratios)), max(ratios) * 2)
    return figure


def _work(row: Row) -> tuple[str, ...]:
    return row.backend, row.device, row.task, row.dtype, str(row.seq), row.order, row.pairs


def _bars(axes: Axes, work: Sequence[Row]) -> None:
    backend, device, task, dtype, seq, order, pairs = _work(work[0])
    style.panel(axes, f"{backend} {device}, {task}, {dtype}, {int(seq):,} tokens, {order}, {pairs}", "time / copy", "")
    bars = axes.barh(
        [row.who.replace(" (", "\n(", 1) for row in work],
        [row.ratio for row in work],
        height=0.7,
        edgecolor="black",
        linewidth=0.6,
    )
    for bar, row in zip(bars, work, strict=True):
        bar.set_facecolor({OURS: "#0072B2", YARDSTICK: "0.75"}.get(row.contender, "white"))
        bar.set_hatch("" if row.contender in (OURS, YARDSTICK) else "///")
    axes.bar_label(bars, [f" {row.ratio:.2f}" for row in work], fontsize=8)
    axes.axvline(1.0, color="0.4", linewidth=0.8, linestyle="--")
    axes.invert_yaxis()
