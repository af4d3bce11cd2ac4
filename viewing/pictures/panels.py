"""The four panels that every picture of a rope is made of."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from tightrope.rope.config.rope import RopeConfig
from tightrope.verify.accuracy.curves import ERROR_POSITIONS
from tightrope.viewing.curves import Curve, context_lengths, curve, factors_by_length
from tightrope.viewing.pictures import style

PAIR: Final = "rotated pair i"
TURN: Final = "positions per turn, 2π / inv_freq"

Labelled = Sequence[tuple[str, NDArray[np.float64]]]


def frequencies_panel(axes: Axes, rope: RopeConfig, plain: Curve, tables: Sequence[Curve]) -> None:
    """Draw inv_freq before and after scaling."""
    style.panel(axes, "Inverse frequencies", PAIR, "inv_freq [radians per position]")
    unscaled_line(axes, plain.inv_freq)
    lines(axes, [(name_of(one, rope), one.inv_freq) for one in tables])
    _shade_blend_zone(axes, rope)
    axes.set_yscale("log")
    style.legend(axes, loc="lower left")


def wavelengths_panel(axes: Axes, rope: RopeConfig, plain: Curve, tables: Sequence[Curve]) -> None:
    """Draw wavelengths against the original and the extended context."""
    style.panel(axes, "Wavelengths, and how many pairs complete a turn", PAIR, TURN)
    unscaled_line(axes, plain.wavelengths)
    lines(axes, [(name_of(one, rope), one.wavelengths) for one in tables])
    for index, (name, length) in enumerate(context_lengths(rope).items()):
        inside = curve(rope, length).rotating_within(length)
        _level(axes, length, f"{name} {length:,}: {inside} of {rope.pairs}", index)
    axes.set_yscale("log")
    style.legend(axes, loc="lower right")


def divisors_panel(axes: Axes, rope: RopeConfig, plain: Curve, tables: Sequence[Curve]) -> None:
    """Draw unscaled / scaled: 1 where the scaling keeps a frequency, its factor where it interpolates in full."""
    style.panel(axes, "What the scaling divides by", PAIR, "unscaled / scaled inv_freq")
    unscaled_line(axes, np.ones(rope.pairs))
    lines(axes, [(name_of(one, rope), one.divisors(plain)) for one in tables])
    _shade_blend_zone(axes, rope)
    _shade_still_pairs(axes, tables[-1])
    axes.set_ylim(0, max(2.0, axes.get_ylim()[1]))
    style.legend(axes, loc="best")


def attention_factor_panel(axes: Axes, ropes: Sequence[tuple[str, RopeConfig]]) -> None:
    """Draw the factor on cos and sin against the length of the sequence."""
    style.panel(axes, "Attention factor", "sequence length [tokens, k = 1,024]", "factor on cos and sin")
    for index, (name, rope) in enumerate(ropes):
        lengths, factors = factors_by_length(rope)
        axes.plot(lengths, factors, label=f"{name}{_factors_in_words(factors)}", **style.line(index))
    axes.axhline(1.0, color="0.6", linewidth=0.8, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda length, _: tokens_in_words(length)))
    axes.set_ylim(0, max(1.5, 1.2 * axes.get_ylim()[1]))
    style.legend(axes, loc="lower left")


def tokens_in_words(length: float) -> str:
    """Return a power of two as the field writes it: 131072 is `"128k"`."""
    for unit, name in ((1 << 20, "M"), (1 << 10, "k")):
        if length >= unit:
            return f"{length / unit:g}{name}"
    return f"{length:g}"


def errors_panel(axes: Axes, rope: RopeConfig, key: str, errors: Mapping[str, Sequence[float]]) -> None:
    """Draw the error of cos and sin against the position, a line for each that computed them."""
    style.panel(axes, f"Largest error of cos and sin: {key}", "position [tokens, k = 1,024]", "absolute error")
    for index, (name, values) in enumerate(errors.items()):
        axes.plot(ERROR_POSITIONS[: len(values)], values, label=name, **style.line(index, every=len(errors)))
    for (name, length), dashes in zip(context_lengths(rope).items(), style.LENGTHS, strict=False):
        axes.axvline(length, color="0.5", linestyle=dashes, linewidth=1.0, label=f"{name} {length:,}")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda length, _: tokens_in_words(length)))
    style.legend(axes, loc="upper left")


def unscaled_line(axes: Axes, values: NDArray[np.float64]) -> None:
    """Draw the broad grey line that every scaling is measured against."""
    axes.plot(np.arange(len(values)), values, label="unscaled", **style.UNSCALED)


def lines(axes: Axes, labelled: Labelled) -> None:
    """Draw one line per table; a pair that does not rotate has no point on it."""
    for index, (label, values) in enumerate(labelled):
        shown = np.where((values > 0) & np.isfinite(values), values, np.nan)
        axes.plot(np.arange(len(values)), shown, label=label, **style.line(index, every=max(2, len(values) // 12)))


def name_of(table: Curve, rope: RopeConfig) -> str:
    """Return what the legend says of a table."""
    return table.label or rope.scaling.rope_type


def _level(axes: Axes, height: float, says: str, index: int) -> None:
    """Draw a horizontal line with words on it, the first below and the second above, at the left where no curve is."""
    axes.axhline(height, color="black", linestyle=style.LENGTHS[index], linewidth=1.0)
    side, away = ("bottom", 3) if index else ("top", -3)
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # the grid would strike the words through
    place = axes.get_yaxis_transform()
    axes.annotate(says, (0.01, height), (0, away), place, "offset points", fontsize=8, va=side, bbox=paper)


def _shade_blend_zone(axes: Axes, rope: RopeConfig) -> None:
    zone = rope.scaling.blend_zone(rope)
    if zone is None:
        return
    low, high = zone
    if low == high:
        axes.axvline(low, color="0.4", linewidth=1.0, linestyle=":", label=f"no blend: divided from pair {low:.3g} on")
    else:
        _shade(axes, low, high, f"blend zone, pairs {low:.3g} to {high:.3g}", style.BLEND)


def _shade_still_pairs(axes: Axes, table: Curve) -> None:
    still = np.flatnonzero(table.inv_freq == 0)
    if still.size:
        _shade(axes, still[0], still[-1], f"pairs {still[0]} to {still[-1]} do not rotate", style.STILL)


def _shade(axes: Axes, low: float, high: float, label: str, looks: dict[str, Any]) -> None:
    axes.axvspan(low, high, label=label, **looks)


def _factors_in_words(factors: Sequence[float]) -> str:
    distinct = [f"{factor:.6g}" for factor in dict.fromkeys(factors)]
    return f"{distinct[0]} at every length" if len(distinct) == 1 else ", then ".join(distinct)
