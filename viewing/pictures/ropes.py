"""Pictures of ropes: one model, or two side by side."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.viewing.curves import Curve, context_lengths, curve, curves, matched_keys, rope_in_words, unscaled
from tightrope.viewing.pictures import panels, style

_WIDTH: Final = 11.0
_HEIGHT: Final = 7.2
_PADDING: Final = 0.12
_LONGEST_NAME: Final = 40  # characters


def rope_picture(model: ModelRope, title: str) -> Figure:
    """Return four panels for each rope of a model.

    Args:
        model: Its ropes.
        title: Printed on top: the model's name.
    """
    figure, blocks = _blocks(title, len(model.ropes))
    for block, (key, rope) in zip(blocks, model.ropes.items(), strict=True):
        block.suptitle(rope_in_words(model, key), fontsize=10)
        top, bottom = block.subplots(2, 2)
        plain, tables = unscaled(rope), curves(rope)
        panels.frequencies_panel(top[0], rope, plain, tables)
        panels.wavelengths_panel(top[1], rope, plain, tables)
        panels.divisors_panel(bottom[0], rope, plain, tables)
        panels.attention_factor_panel(bottom[1], [("", rope)])
    return figure


def comparison_picture(left: ModelRope, right: ModelRope, names: tuple[str, str]) -> Figure:
    """Return four panels for each rope that two models have in common; length-dependent ropes at their full context.

    Raises:
        RopeConfigError: They have no rope in common.
    """
    matches = matched_keys(left, right)
    names = (_shortened(names[0]), _shortened(names[1]))
    figure, blocks = _blocks(f"{names[0]} and {names[1]}", len(matches))
    for block, keys in zip(blocks, matches, strict=True):
        _compare(block, names, ((left, keys[0]), (right, keys[1])))
    return figure


def error_picture(model: ModelRope, errors: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> Figure:
    """Return one panel for each rope: the error of cos and sin against the position.

    Args:
        model: The ropes.
        errors: By key of a rope, what `accuracy.error_curves` returned for it.
        title: Printed on top.
    """
    layout = ConstrainedLayoutEngine(w_pad=_PADDING, h_pad=_PADDING / 2)
    figure = Figure(figsize=(_WIDTH * 0.75, _HEIGHT * 0.7 * len(errors)), layout=layout)
    figure.suptitle(title, fontsize=14, fontweight="bold")
    for axes, (key, lines) in zip(figure.subplots(len(errors), 1, squeeze=False)[:, 0], errors.items(), strict=True):
        panels.errors_panel(axes, model.ropes[key], key, lines)
    return figure


def _compare(block: SubFigure, names: tuple[str, str], sides: tuple[tuple[ModelRope, str], ...]) -> None:
    words = (f"{name}: {rope_in_words(*side)}" for name, side in zip(names, sides, strict=True))
    block.suptitle("\n".join(words), fontsize=10)
    named = [(name, model.ropes[key]) for name, (model, key) in zip(names, sides, strict=True)]
    tables = [_at_full_context(rope) for _, rope in named]
    top, bottom = block.subplots(2, 2)
    _both_frequencies(top[0], names, tables)
    _both_wavelengths(top[1], named, tables)
    _ratio(bottom[0], names, tables)
    panels.attention_factor_panel(bottom[1], [(f"{name}: ", rope) for name, rope in named])


def _shortened(name: str) -> str:
    """Return the end of a long path: a legend that outgrows its panel leaves no room for the axes."""
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"


def _blocks(title: str, count: int) -> tuple[Figure, list[SubFigure]]:
    layout = ConstrainedLayoutEngine(w_pad=_PADDING, h_pad=_PADDING / 2)
    figure = Figure(figsize=(_WIDTH, _HEIGHT * count), layout=layout)
    figure.suptitle(title, fontsize=14, fontweight="bold")
    return figure, list(figure.subfigures(count, 1, squeeze=False)[:, 0])


def _at_full_context(rope: RopeConfig) -> Curve:
    return curve(rope, max(context_lengths(rope).values(), default=None) if rope.scaling.follows_length else None)


def _both_frequencies(axes: Axes, names: tuple[str, str], tables: list[Curve]) -> None:
    style.panel(axes, "Inverse frequencies", panels.PAIR, "inv_freq [radians per position]")
    panels.lines(axes, [(name, table.inv_freq) for name, table in zip(names, tables, strict=True)])
    axes.set_yscale("log")
    style.legend(axes, loc="lower left")


def _both_wavelengths(axes: Axes, named: list[tuple[str, RopeConfig]], tables: list[Curve]) -> None:
    style.panel(axes, "Wavelengths against context", panels.PAIR, panels.TURN)
    panels.lines(axes, [(name, table.wavelengths) for (name, _), table in zip(named, tables, strict=True)])
    for index, (name, rope) in enumerate(named):
        if rope.max_position_embeddings is not None:
            looks = {**style.line(index), "linewidth": 0.9}
            says = f"context of {name}: {rope.max_position_embeddings:,}"
            axes.axhline(rope.max_position_embeddings, label=says, **looks)
    axes.set_yscale("log")
    style.legend(axes, loc="lower right")


def _ratio(axes: Axes, names: tuple[str, str], tables: list[Curve]) -> None:
    style.panel(axes, "Ratio of inverse frequencies", panels.PAIR, f"{names[0]} / {names[1]}")
    first, second = (table.inv_freq for table in tables)
    if len(first) != len(second):
        says = f"{len(first)} pairs against {len(second)}: no ratio pair by pair"
        axes.text(0.5, 0.5, says, transform=axes.transAxes, ha="center", fontsize=10)
        axes.set(xticks=[], yticks=[])  # a scale without a curve would seem to mean something
        return
    ratio = np.divide(first, second, out=np.full(len(first), np.nan), where=second > 0)
    axes.axhline(1.0, label="the same", **style.UNSCALED)
    panels.lines(axes, [("ratio", ratio)])
    style.log_axis(axes, "y")
    style.legend(axes, loc="best")
