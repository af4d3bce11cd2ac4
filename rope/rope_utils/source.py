"""Whatever code of transformers passes as `config`, to a rope."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.reading.reader import read
from tightrope.rope.rope_utils.blocks import BLOCK_KEYS, flat_blocks, require_keys
from tightrope.rope.scaling.default import Default


def model_of(config: Any) -> ModelRope:
    """Return the ropes of a configuration.

    Args:
        config: What `tightrope.read` takes, a `ModelRope`, a `RopeConfig`, or any object whose attributes are a
            configuration's keys: a SimpleNamespace, a dataclass, a pydantic model, an instance of
            `RotaryEmbeddingConfigMixin`.

    Raises:
        RopeKeyError: A rope block lacks a key that its type needs.
        RopeConfigError: Something else is wrong with it.
    """
    if isinstance(config, ModelRope):
        return config
    if isinstance(config, RopeConfig):
        return ModelRope(ropes={"default": config}, layers=())
    values = values_of(config)
    if values is None:
        return read(config)
    for name in BLOCK_KEYS:
        if isinstance(block := values.get(name), Mapping):
            for key, one in flat_blocks(block, values.get("layer_types")).items():
                require_keys(one, f"{name}.{key}" if key else name)
    return read(values)


def values_of(config: Any) -> dict[str, Any] | None:
    """Return the keys of a configuration that is a mapping or an object; None for a path."""
    if isinstance(config, Mapping):
        return dict(config)
    if callable(to_dict := getattr(config, "to_dict", None)) and not isinstance(config, type):
        return {"model_type": getattr(config, "model_type", ""), **to_dict()}
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return _stated({item.name: getattr(config, item.name) for item in dataclasses.fields(config)})
    if hasattr(config, "__dict__") and not isinstance(config, type) and not hasattr(config, "__fspath__"):
        return _stated(vars(config))
    return None


def _stated(attributes: Mapping[str, Any]) -> dict[str, Any]:
    # An attribute of None is a default that nobody set, unlike a null that somebody wrote into a file.
    return {key: value for key, value in attributes.items() if not key.startswith("_") and value is not None}


def rope_of(rope_type: str, config: Any, layer_type: str | None = None) -> RopeConfig:
    """Return the rope that a function of `ROPE_INIT_FUNCTIONS` is asked about.

    Args:
        rope_type: The function's name; `"default"` means the frequencies before any scaling.
        config: See `model_of`.
        layer_type: Which rope, where there are several.

    Raises:
        RopeConfigError: The configuration has another rope type.
    """
    model = model_of(config)
    rope = model.rope(layer_type if len(model.ropes) > 1 else None)
    if rope_type == "default":
        rope = rope.replace(scaling=Default())
    elif rope.scaling.rope_type != rope_type:
        raise RopeConfigError(
            f"rope_type of the configuration is {rope.scaling.rope_type!r}, {rope_type!r} was asked for; "
            f"take ROPE_INIT_FUNCTIONS[{rope.scaling.rope_type!r}]"
        )
    return rope.replace(direction=1)  # which way a family rotates is its apply function's
