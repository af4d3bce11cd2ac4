"""Tightrope inside an mlx-lm model: a rope for every attention layer, by what config.json says."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from importlib import metadata
from typing import Any

import mlx.nn as nn

from tightrope.backends.mlx.mlx_lm.parts import present
from tightrope.backends.mlx.mlx_lm.places import UNTOUCHED, plan_layers
from tightrope.backends.mlx.mlx_lm.rope import MLXRope
from tightrope.backends.patching.loading import load_mlx
from tightrope.backends.patching.models import Options, PatchPlan, own_config
from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.reading import read

__all__ = ["MLXRope", "load_mlx", "plan"]


def plan(model: nn.Module, config: object, options: Options) -> PatchPlan:
    """Return what `tightrope.patch` changes in an mlx-lm model; see `tightrope.backends.patching.patch`."""
    title = _title(model)
    rope = own_config(config) if config is not None else kept_config(getattr(model, "args", None), title)
    layers, numbers = present(_layers(model, title), getattr(model, "model", model))
    return plan_layers(layers, title, rope, options, numbers=numbers)


def _title(model: nn.Module) -> str:
    return f"{type(model).__module__.rpartition('.')[2]}.{type(model).__name__} (mlx-lm {metadata.version('mlx-lm')})"


def _layers(model: nn.Module, title: str) -> list[nn.Module | None]:
    layers = getattr(model, "layers", None)
    if not isinstance(layers, list) or not all(isinstance(layer, nn.Module | None) for layer in layers):
        raise RopeConfigError(
            f"{title} has no list of layers under .layers, where every model of mlx-lm 0.32 has it. {UNTOUCHED}"
        )
    return layers


def kept_config(arguments: object, title: str) -> ModelRope:
    """Return what a model's own arguments say, after a check that its library has not dropped any of it.

    Raises:
        RopeConfigError: It may have, so the configuration has to be given.
    """
    if not is_dataclass(arguments) or not _complete(arguments):
        raise RopeConfigError(
            f"{title} does not keep all that config.json says about rotation, so its base and scaling may be "
            "defaults of its library: pass config= (the path of config.json, or of its folder), or load the model with "
            f"tightrope.load_mlx. {UNTOUCHED}"
        )
    rope = read({item.name: getattr(arguments, item.name) for item in fields(arguments)})
    return replace(rope, notes=(*rope.notes, "the configuration is what the model keeps of it"))


def _complete(arguments: Any) -> bool:
    """Return whether a model's arguments can be trusted to hold the whole rope of its config.json."""
    known = {item.name: item for item in fields(arguments)}
    if any(isinstance(getattr(arguments, name, None), Mapping) for name in ("rope_parameters", "text_config")):
        return True
    base = known.get("rope_theta")
    # A base of its own was read from the older spelling, whose scaling stands beside it.
    return "rope_scaling" in known and base is not None and getattr(arguments, base.name) != _default(base)


def _default(item: Field[Any]) -> object:
    """Return the default of a field, which no value equals where there is none."""
    return item.default if item.default is not MISSING else object()
