"""How far cos and sin are off as positions grow: of Tightrope's precisions, and of the libraries that are installed."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope import reference
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.config.terms import LAYOUTS
from tightrope.rope.errors import RopeError
from tightrope.verify.accuracy.positions import cos_sin_errors
from tightrope.verify.audit.peers import Built, PeerEnds, PeerLacks, PeerRefuses, PeerUnusable, installed, load
from tightrope.verify.parity.subjects import Subject

_WINDOW: Final = 16
ERROR_POSITIONS: Final = tuple((1 << power) - 1 for power in range(4, 25))
"""Where errors of cos and sin are measured: up to 16 M."""
_TITLES: Final = {
    "transformers": "transformers {}",
    "mlx-lm": "mlx-lm {} (mx.fast.rope)",
    "mlx-vlm": "mlx-vlm {} (mx.fast.rope)",
}


def error_curves(
    config: dict[str, Any], model: ModelRope, key: str, subjects: Sequence[Subject]
) -> dict[str, list[float]]:
    """Return, by what computed them, the largest errors of cos and sin at `ERROR_POSITIONS`, against exact arithmetic.

    Args:
        config: The content of config.json, which the libraries read by themselves.
        model: What Tightrope reads in it.
        key: Which of its ropes.
        subjects: Backends on devices.
    """
    rope = model.ropes[key]
    curves: dict[str, list[float]] = {}
    for subject in subjects:
        for position in ERROR_POSITIONS:
            for precision, error in cos_sin_errors(rope, subject, position).items():
                curves.setdefault(f"{precision}, {subject.name}", []).append(error)
    return curves | _peer_curves(config, model, key)


def _peer_curves(config: dict[str, Any], model: ModelRope, key: str) -> dict[str, list[float]]:
    """Return the curves of the libraries that are installed, build this model and serve every position."""
    layer = next((index for index, name in enumerate(model.layers) if name == key), 0)
    curves = {}
    for name in installed():
        try:
            peer, version = load(name)
            built = peer.build(config, model)
            errors = [_peer_error(built, layer, model.ropes[key], position) for position in ERROR_POSITIONS]
        except (PeerEnds, PeerLacks, PeerRefuses, PeerUnusable, RopeError):
            continue
        curves[_TITLES.get(name, f"{name} {{}}").format(version)] = errors
    return curves


def _peer_error(built: Built, layer: int, rope: RopeConfig, position: int) -> float:
    """Return the largest error of cos and sin at the 16 positions that end with this one.

    A pair (1, 0) turns into (cos, sin).
    """
    first = position - _WINDOW + 1
    exact = reference.cos_sin(rope, np.arange(first, position + 1)[None])
    width = rope.head_dim if rope.side == "head" else rope.rotary_dim
    x = np.zeros((1, 1, _WINDOW, width), np.float32)
    x[..., reference.pair_slices(width, rope.pairs, rope.layout, rope.side)[0]] = 1
    y = built.rotate(layer, x, first)[:, 0]
    # A library may move pairs of neighbours half a head apart: q · k stays the same.
    return min(_largest_error(_members(y, rope, layout), exact) for layout in {rope.layout, LAYOUTS[0]})


def _members(y: NDArray[Any], rope: RopeConfig, layout: Any) -> tuple[NDArray[Any], ...]:
    return tuple(y[..., part] for part in reference.pair_slices(y.shape[-1], rope.pairs, layout, rope.side))


def _largest_error(found: tuple[NDArray[Any], ...], exact: tuple[NDArray[Any], ...]) -> float:
    return max(float(np.abs(part - truth).max()) for part, truth in zip(found, exact, strict=True))
