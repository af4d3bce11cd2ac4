"""The ropes inside a model of mlx-lm or mlx-vlm: where they hang, how they rotate, what takes their place."""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from tightrope.backends.mlx import interop as host
from tightrope.backends.mlx.mlx_lm.parts import check_layers
from tightrope.backends.mlx.mlx_lm.rope import MLXRope
from tightrope.backends.mlx.mlx_lm.step import SharedSteps
from tightrope.backends.patching.changes import Swap
from tightrope.backends.patching.models import Options, PatchPlan
from tightrope.backends.patching.report import PartReport, PatchReport, in_words
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.config.terms import Layout
from tightrope.rope.errors import RopeConfigError

UNTOUCHED: Final = "Nothing was changed"

_CUT: Final = ". Of a part of a model, say which layers it has: patch(…, layers=range(4, 8))"

_ROPE_NAME: Final = re.compile(r"^(\w+_)?(rope|rotary_emb|rotary_embedding)$")
# Attention that rotates in its own kernel and reads only the base from its rope.
_OWN_KERNELS: Final = frozenset({"qk_norm_rope"})
# How far a float32 scale may be from 1 / sqrt(head_dim) · softmax_scale.
_SCALE_ROUNDING: Final = 4 * 2.0**-24


@dataclass(frozen=True)
class RopePlace:
    """A rope where it hangs: its owner, its name there, its path below the layer."""

    owner: nn.Module
    name: str
    path: str

    @property
    def rope(self) -> nn.Module:
        """The rope itself."""
        module: nn.Module = self.owner[self.name]
        return module


Serve = Callable[[RopePlace, int, ModelRope, Options, SharedSteps], tuple[list[Swap], PartReport]]
"""Returns what changes at one rope of a layer, and what to say about it; the last is for all layers of the model."""


def rope_modules(layer: nn.Module) -> Iterator[RopePlace]:
    """Yield the ropes of one decoder layer."""
    for path, owner in layer.named_modules():  # type: ignore[no-untyped-call]  # untyped in mlx
        for name, child in owner.children().items():
            if not _ROPE_NAME.match(name) or not isinstance(child, nn.Module):
                continue
            if not child.parameters():  # type: ignore[no-untyped-call]  # untyped in mlx
                yield RopePlace(owner, name, f"{path}.{name}".lstrip("."))


def plan_layers(
    layers: list[nn.Module], title: str, rope: ModelRope, options: Options, serve: Serve | None = None,
    *, numbers: Sequence[int] | None = None,
) -> PatchPlan:  # fmt: skip
    """Return what `tightrope.patch` changes in these decoder layers.

    Args:
        layers: The decoder layers that are here.
        title: What the model is called.
        rope: Its configuration.
        options: How it is to rotate; its `layers` come before numbers.
        serve: What decides on one rope; `serve_rope` by default.
        numbers: Which layers of the configuration these are; None: all of them.
    """
    if not rope.ropes:
        raise RopeConfigError(f"{title} has no rope to replace: {'; '.join(rope.notes)}. {UNTOUCHED}")
    if options.layers is not None:
        numbers = check_layers(options.layers, len(layers), len(rope.layers))
    swaps: list[Swap] = []
    parts: list[PartReport] = []
    steps = SharedSteps(options.rotary())
    for path, index, place in _indexed(layers, rope, numbers):
        made, part = (serve or serve_rope)(place, index, rope, options, steps)
        swaps += made
        parts.append(replace(part, module=path, layer=index))
    return PatchPlan(tuple(swaps), PatchReport(title, tuple(parts), rope.notes))


def _indexed(
    layers: list[nn.Module], rope: ModelRope, numbers: Sequence[int] | None
) -> Iterator[tuple[str, int, RopePlace]]:
    """Yield every rope of a model with its path and the index of its layer in the configuration."""
    each, numbers = _numbered(layers, rope, numbers)
    for number, layer in zip(numbers, layers, strict=True):
        places = _required(rope_modules(layer), number * each, rope, layer)
        for order, place in enumerate(places):
            yield f"layers.{number}.{place.path}", number * each + (order if each > 1 else 0), place


def _numbered(layers: list[nn.Module], rope: ModelRope, numbers: Sequence[int] | None) -> tuple[int, Sequence[int]]:
    """Return how many layers of the configuration each decoder layer is, and the numbers of the decoder layers."""
    known = len(rope.layers)
    if numbers is not None:
        if any(number >= known for number in numbers):
            raise RopeConfigError(f"the model has a layer {max(numbers)}, its configuration {known}. {UNTOUCHED}")
        return 1, numbers
    # LongCat's layers hold two attentions each, which its configuration counts one by one.
    each = known // max(len(layers), 1)
    if each * len(layers) != known or not layers:
        raise RopeConfigError(f"the model has {len(layers)} layers, its configuration {known}. {UNTOUCHED}{_CUT}")
    if each > 1 and any(len(list(rope_modules(layer))) != each for layer in layers):
        raise RopeConfigError(
            f"the model has {len(layers)} layers, its configuration {known}, and not {each} ropes in each. "
            f"{UNTOUCHED}{_CUT}"
        )
    return each, range(len(layers))


def _required(found: Iterator[RopePlace], index: int, rope: ModelRope, layer: nn.Module) -> list[RopePlace]:
    """Return the ropes of a layer, after a check that there is one where the configuration wants one."""
    places = list(found)
    if any(isinstance(place.rope, MLXRope) for place in places):
        raise RopeConfigError(f"layer {index} is patched already; tightrope.unpatch(model) first")
    if rope.layers[index] is not None and not places:
        raise RopeConfigError(
            f"layer {index} ({type(layer).__module__}) has no rope module, but its configuration has a rope for it: "
            f"the family applies its own rotation function, or its library moved it. {UNTOUCHED}"
        )
    return places


def serve_rope(
    place: RopePlace, index: int, rope: ModelRope, options: Options, steps: SharedSteps
) -> tuple[list[Swap], PartReport]:
    """Return what changes at one rope and what to say about it."""
    config = rope.for_layer(index)
    part = PartReport("", None, None, "left alone")
    if config is None:
        return [], replace(part, why="this layer has no position embedding")
    if kernels := _OWN_KERNELS & set(_called(place.owner)):
        raise RopeConfigError(f"{type(place.owner).__module__} rotates in its own kernel ({min(kernels)}). {UNTOUCHED}")
    config, was = _fitted(place, config)
    new = MLXRope(config, step=steps.of(config))
    swaps = [
        Swap(place.owner, place.name, new.train(place.rope.training), place.rope),
        *_scale_swaps(place, config, rope),
    ]
    why = "; ".join(filter(None, (was, "softmax scale mended" if len(swaps) > 1 else "")))
    path = host.path(host.devices()[0])
    return swaps, replace(part, rope=in_words(config), action="rope", path=path, why=why)


def _called(owner: nn.Module) -> tuple[str, ...]:
    code = getattr(inspect.unwrap(type(owner).__call__), "__code__", None)
    return () if code is None else code.co_names


def _fitted(place: RopePlace, config: RopeConfig) -> tuple[RopeConfig, str]:
    """Return the configuration for this rope, and what the rope itself does otherwise."""
    # As wide as what attention hands to it: MLA rotates only the part that it keeps apart.
    width = config.head_dim if config.side == "head" else config.rotary_dim
    layout, rotated = pairing(place.rope, max(width, getattr(place.rope, "dims", 0)))
    layout = config.layout if rotated == 2 else layout  # one pair is (0, 1) either way
    if "indexer" in type(place.owner).__name__.lower():
        # DeepSeek's sparse attention: its indexer uses the same angles in another layout.
        return config.replace(layout=layout, side="head"), ""
    if layout != config.layout:
        raise RopeConfigError(
            f"{type(place.owner).__module__} pairs channels {layout!r}, the configuration says {config.layout!r}. "
            f"{UNTOUCHED}"
        )
    return config, "" if rotated == config.rotary_dim else f"rotated {rotated} channels before"


def pairing(rope: nn.Module, width: int) -> tuple[Layout, int]:
    """Return how a rope pairs channels, and how many of them it rotates: found out by rotating the unit vectors.

    Raises:
        RopeConfigError: It rotates nothing, or not pair by pair.
    """
    try:
        rotated = np.array(rope(mx.eye(width)[None, :, None], offset=1)[0, :, 0])
    except (TypeError, ValueError) as error:
        raise RopeConfigError(f"{type(rope).__name__} does not take (x, offset=1): {error}. {UNTOUCHED}") from error
    moved = (rotated != 0) & ~np.eye(width, dtype=bool)
    partners = np.flatnonzero(moved[0]).tolist()
    if len(partners) != 1:
        raise RopeConfigError(f"{type(rope).__name__} does not rotate pairs of channels. {UNTOUCHED}")
    if partners == [1]:
        return "interleaved", int(moved.any(axis=-1).sum())
    return "half", 2 * partners[0]


def _scale_swaps(place: RopePlace, config: RopeConfig, rope: ModelRope) -> list[Swap]:
    """Return what fixes the softmax factor of YaRN's mscale_all_dim, where mlx-lm did not read it."""
    scale = getattr(place.owner, "scale", None)
    if rope.softmax_scale == 1 or not isinstance(scale, float):
        return []
    plain = config.head_dim**-0.5
    wanted = plain * rope.softmax_scale
    if abs(scale - wanted) <= _SCALE_ROUNDING * wanted:
        return []
    if abs(scale - plain) <= _SCALE_ROUNDING * plain:
        return [Swap(place.owner, "scale", wanted, scale)]
    raise RopeConfigError(
        f"{type(place.owner).__module__} scales attention by {scale:g}; the configuration says {wanted:g}. {UNTOUCHED}"
    )
