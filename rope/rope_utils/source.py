"""Whatever code of transformers passes as `config`, to a rope."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.reading.reader import model_from, read_own
from tightrope.rope.rope_utils.blocks import BLOCK_KEYS, flat_blocks, require_keys
from tightrope.rope.scaling.default import Default

# By name: ours and transformers', whose class attributes are no keys of a configuration.
_MIXIN: Final = "RotaryEmbeddingConfigMixin"


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
    values = None if isinstance(config, ModelRope | RopeConfig) else values_of(config)
    if values is None:
        return model_from(config)
    for name in BLOCK_KEYS:
        if isinstance(block := values.get(name), Mapping):
            for key, one in flat_blocks(block, values.get("layer_types")).items():
                require_keys(one, f"{name}.{key}" if key else name, values)
    return read_own(values)


def values_of(config: Any) -> dict[str, Any] | None:
    """Return the keys of a configuration that is a mapping or an object; None for a path."""
    if isinstance(config, Mapping):
        return dict(config)
    if isinstance(config, type) or type(config).__module__ == "builtins" or hasattr(config, "__fspath__"):
        return None
    if callable(to_dict := getattr(config, "to_dict", None)):
        return {"model_type": getattr(config, "model_type", ""), **to_dict()}
    # An attribute of None is a default that nobody set, unlike a null that somebody wrote into a file.
    stated = {key: value for key, value in _attributes(config) if value is not None}
    return {key: _block(value) if key in BLOCK_KEYS else value for key, value in stated.items()}


def _attributes(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield what an object says of itself: fields, attributes of the instance and of its class, properties."""
    if callable(dump := getattr(config, "model_dump", None)):  # pydantic's, whose other attributes are its own
        yield from dump().items()
        return
    own = getattr(config, "__dict__", {})
    of_mixin = {name for base in type(config).__mro__ if base.__name__ == _MIXIN for name in vars(base)}
    for name in dir(config):
        if not name.startswith("_") and (name in own or name not in of_mixin):
            value = getattr(config, name, None)
            if not callable(value):
                yield name, value


def _block(value: Any) -> Any:
    """Return a rope block, by itself or by layer type, as dicts; it may be made of objects and enums."""
    values = values_of(value)
    if values is None:
        return value
    return {
        key: _block(one) if _is_block(one) else one.value if isinstance(one, Enum) else one
        for key, one in values.items()
    }


def _is_block(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "rope_type") or hasattr(value, "rope_theta")


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
