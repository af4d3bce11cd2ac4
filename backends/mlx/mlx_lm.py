"""Tightrope inside an mlx-lm model: a rope for every attention layer, by what config.json says."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from importlib import metadata
from typing import Any, Final

import mlx.core as mx
import mlx.nn as nn

from tightrope.backends.mlx import host
from tightrope.backends.loading import load_mlx
from tightrope.backends.mlx.mlx_rope import MLXRope
from tightrope.backends.patching import Options, Plan, Swap, own_config
from tightrope.backends.reports import PartReport, PatchReport, in_words
from tightrope.rope.config import Layout, ModelRope, RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.reading import read

__all__ = ["MLXRope", "load_mlx", "plan", "rope_modules"]

_UNTOUCHED: Final = "Nothing was changed"
_ROPE_NAME: Final = re.compile(r"^(\w+_)?(rope|rotary_emb|rotary_embedding)$")
# Attention that turns by a kernel of its own and reads only the base of its rope.
_OWN_KERNELS: Final = frozenset({"qk_norm_rope"})
# How far a float32 scale may be from 1 / sqrt(head_dim) · softmax_scale.
_SCALE_ROUNDING: Final = 4 * 2.0**-24


@dataclass(frozen=True)
class Place:
    """A rope where it hangs: its owner, its name there, its path below the layer."""

    owner: nn.Module
    name: str
    path: str

    @property
    def rope(self) -> nn.Module:
        """The rope itself."""
        module: nn.Module = self.owner[self.name]
        return module


def rope_modules(layer: nn.Module) -> Iterator[Place]:
    """Yield the ropes of one decoder layer."""
    for path, owner in layer.named_modules():
        for name, child in owner.children().items():
            if _ROPE_NAME.match(name) and isinstance(child, nn.Module) and not child.parameters():
                yield Place(owner, name, f"{path}.{name}".lstrip("."))


def plan(model: nn.Module, config: object, options: Options) -> Plan:
    """Return what `tightrope.patch` changes in an mlx-lm model; see `tightrope.backends.patching.patch`."""
    rope = own_config(config) if config is not None else _config_of(model)
    swaps: list[Swap] = []
    parts: list[PartReport] = []
    for path, index, place in _indexed(model, rope):
        made, part = _serve(place, index, rope, options)
        swaps += made
        parts.append(replace(part, module=path, layer=index))
    notes = rope.notes if config is not None else (*rope.notes, "the configuration is what mlx-lm kept of it")
    return Plan(tuple(swaps), PatchReport(_title(model), tuple(parts), notes))


def _title(model: nn.Module) -> str:
    return f"{type(model).__module__.rpartition('.')[2]}.{type(model).__name__} (mlx-lm {metadata.version('mlx-lm')})"


def _indexed(model: nn.Module, rope: ModelRope) -> Iterator[tuple[str, int, Place]]:
    """Yield every rope of a model with its path and the index of its layer in the configuration."""
    layers = _layers(model)
    # LongCat's layers hold two attentions each, which its configuration counts one by one.
    each = len(rope.layers) // max(len(layers), 1)
    if each * len(layers) != len(rope.layers) or not layers:
        raise RopeConfigError(f"the model has {len(layers)} layers, its configuration {len(rope.layers)}. {_UNTOUCHED}")
    for number, layer in enumerate(layers):
        places = _required(rope_modules(layer), number * each, rope, layer)
        if each > 1 and len(places) != each:
            raise RopeConfigError(f"layer {number} has {len(places)} ropes, its configuration {each}. {_UNTOUCHED}")
        for order, place in enumerate(places):
            yield f"layers.{number}.{place.path}", number * each + (order if each > 1 else 0), place


def _layers(model: nn.Module) -> list[nn.Module]:
    layers = getattr(model, "layers", None)
    if not isinstance(layers, list) or not all(isinstance(layer, nn.Module) for layer in layers):
        raise RopeConfigError(
            f"{_title(model)} has no list of layers under .layers, where every model of mlx-lm 0.32 has it. {_UNTOUCHED}"
        )
    return layers


def _config_of(model: nn.Module) -> ModelRope:
    """Return what the model's own arguments say, after a check that mlx-lm has not dropped any of it."""
    arguments = getattr(model, "args", getattr(model, "config", None))
    if not is_dataclass(arguments) or not _complete(arguments):
        raise RopeConfigError(
            f"{_title(model)} does not keep all that config.json says about rotation, so its base and scaling may be "
            "mlx-lm's defaults: pass config= (the path of config.json, or of its folder), or load the model with "
            f"tightrope.load_mlx. {_UNTOUCHED}"
        )
    return read({item.name: getattr(arguments, item.name) for item in fields(arguments)})


def _complete(arguments: Any) -> bool:
    """Say whether a model's arguments can be trusted to hold the whole rope of its config.json."""
    known = {item.name: item for item in fields(arguments)}
    if any(isinstance(getattr(arguments, name, None), Mapping) for name in ("rope_parameters", "text_config")):
        return True
    base = known.get("rope_theta")
    # A base of its own was read from the older spelling, whose scaling stands beside it.
    return "rope_scaling" in known and base is not None and getattr(arguments, base.name) != _default(base)


def _default(item: Field[Any]) -> object:
    """Return the default of a field, which no value equals where there is none."""
    return item.default if item.default is not MISSING else object()


def _required(found: Iterator[Place], index: int, rope: ModelRope, layer: nn.Module) -> list[Place]:
    """Return the ropes of a layer, after a check that there is one where the configuration wants one."""
    places = list(found)
    if any(isinstance(place.rope, MLXRope) for place in places):
        raise RopeConfigError(f"layer {index} is patched already; tightrope.unpatch(model) first")
    if rope.layers[index] is not None and not places:
        raise RopeConfigError(
            f"layer {index} ({type(layer).__module__}) has no rope module, but its configuration has a rope for it: "
            f"the family rotates in a function of its own, or mlx-lm {metadata.version('mlx-lm')} moved it. {_UNTOUCHED}"
        )
    return places


def _serve(place: Place, index: int, rope: ModelRope, options: Options) -> tuple[list[Swap], PartReport]:
    """Return what changes at one rope and what to say about it."""
    config = rope.for_layer(index)
    part = PartReport("", None, None, "left alone")
    if config is None:
        return [], replace(part, why="this layer has no position embedding")
    if kernels := _OWN_KERNELS & set(_called(place.owner)):
        raise RopeConfigError(
            f"{type(place.owner).__module__} turns by a kernel of its own ({min(kernels)}). {_UNTOUCHED}"
        )
    config, was = _fitted(place, config)
    new = MLXRope(config, **options.rotary())
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


def _fitted(place: Place, config: RopeConfig) -> tuple[RopeConfig, str]:
    """Return the configuration for this rope, and what the rope itself does otherwise."""
    # As wide as what attention hands to it: MLA turns only the part that it keeps apart.
    width = config.head_dim if config.side == "head" else config.rotary_dim
    layout, rotated = pairing(place.rope, max(width, getattr(place.rope, "dims", 0)))
    layout = config.layout if rotated == 2 else layout  # one pair is (0, 1) either way
    if "indexer" in type(place.owner).__name__.lower():
        # DeepSeek's sparse attention: an indexer turns by the same angles, in a layout of its own.
        return config.replace(layout=layout, side="head"), ""
    if layout != config.layout:
        raise RopeConfigError(
            f"{type(place.owner).__module__} pairs channels {layout!r}, the configuration says {config.layout!r}. {_UNTOUCHED}"
        )
    return config, "" if rotated == config.rotary_dim else f"mlx-lm turned {rotated} channels"


def pairing(rope: nn.Module, width: int) -> tuple[Layout, int]:
    """Return how a rope pairs channels, and how many of them it turns: found out by turning the unit vectors.

    Raises:
        RopeConfigError: It turns nothing, or not pair by pair.
    """
    try:
        turned = rope(mx.eye(width)[None, :, None], offset=1)[0, :, 0]
    except (TypeError, ValueError) as error:
        raise RopeConfigError(f"{type(rope).__name__} does not take (x, offset=1): {error}. {_UNTOUCHED}") from error
    moved = mx.abs(turned) * (1 - mx.eye(width)) > 0
    partners = [channel for channel, moves in enumerate(moved[0].tolist()) if moves]
    if len(partners) != 1:
        raise RopeConfigError(f"{type(rope).__name__} does not turn pairs of channels. {_UNTOUCHED}")
    if partners == [1]:
        return "interleaved", sum(moved.any(axis=-1).tolist())
    return "half", 2 * partners[0]


def _scale_swaps(place: Place, config: RopeConfig, rope: ModelRope) -> list[Swap]:
    """Return what mends the softmax factor of YaRN's mscale_all_dim, where mlx-lm did not read it."""
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
        f"{type(place.owner).__module__} scales attention by {scale:g}; the configuration says {wanted:g}. {_UNTOUCHED}"
    )
