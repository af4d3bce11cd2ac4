"""`RotaryEmbeddingConfigMixin` for configuration classes of one's own, without transformers."""

import copy
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from tightrope.rope.errors import RopeConfigError
from tightrope.rope.rope_utils.blocks import BLOCK_KEYS, flat_blocks, require_keys, rope_type_of
from tightrope.rope.rope_utils.source import model_of, values_of
from tightrope.rope.scaling import scaling_from

# Keys of a block that belong to the rope as a whole, or to its axes, and not to its type.
_COMMON = frozenset({"type", "rope_theta", "partial_rotary_factor", "mrope_section", "mrope_interleaved"})
_WITH_ORIGINAL = ("llama3", "yarn", "longrope")
_GEOMETRY = ({"head_dim"}, {"hidden_size", "num_attention_heads"})


class RotaryEmbeddingConfigMixin:
    """Turns `rope_scaling` and `rope_theta` of an instance into `rope_parameters`, and checks them.

    The attributes read are a configuration's: `rope_parameters`, `rope_theta`, `partial_rotary_factor`, `layer_types`,
    `max_position_embeddings`, `original_max_position_embeddings`. Unlike transformers, nothing is only logged, and
    dicts that were passed in are copied, not changed.
    """

    default_theta: ClassVar[float] = 10_000.0
    ignore_keys_at_rope_validation: Collection[str] = frozenset()
    rope_parameters: Any = None

    def convert_rope_params_to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Set `rope_parameters` from both spellings; return the keywords that were not used.

        Args:
            kwargs: A configuration's keys; `rope_scaling`, `rope_theta` and `partial_rotary_factor` are taken. What a
                block states wins over the keywords, these over attributes, these over `default_theta`.
        """
        block = copy.deepcopy(kwargs.pop("rope_scaling", None) or self.rope_parameters or {})
        theta = kwargs.pop("rope_theta", None) or getattr(self, "rope_theta", None) or self.default_theta
        share = kwargs.pop("partial_rotary_factor", None) or getattr(self, "partial_rotary_factor", None)
        for one in flat_blocks(block, getattr(self, "layer_types", None)).values():
            self._complete(one, theta, share)
        self.rope_parameters = block
        self.standardize_rope_params()
        return kwargs

    def standardize_rope_params(self) -> None:
        """Give every block of `rope_parameters` its `rope_type`, `rope_theta` and original length."""
        block = copy.deepcopy(self.rope_parameters or {})
        theta = getattr(self, "rope_theta", None)
        if not (block or theta):
            return
        for key, one in flat_blocks(block, getattr(self, "layer_types", None)).items():
            one.setdefault("rope_type", one.get("type", "default"))
            self._complete(one, theta or self.default_theta, getattr(self, "partial_rotary_factor", None))
            if one["rope_type"] in _WITH_ORIGINAL:
                self._complete_length(one, nested=bool(key))
        self.rope_parameters = block

    def validate_rope(self, ignore_keys: Collection[str] | None = None) -> None:
        """Check every block, and the whole configuration where it says how wide a head is.

        Args:
            ignore_keys: Keys of a block to pass over, besides `ignore_keys_at_rope_validation`.

        Raises:
            RopeKeyError: A block lacks a key that its type needs; it is a KeyError, too.
            RopeConfigError: An unknown key or rope type, or a value out of range.
        """
        ignored = {*(self.ignore_keys_at_rope_validation or ()), *(ignore_keys or ())}
        blocks = flat_blocks(self.rope_parameters or {}, getattr(self, "layer_types", None))
        for key, block in blocks.items():
            name = f"rope_parameters.{key}" if key else "rope_parameters"
            require_keys(block, name, vars(self))
            stated = {field: value for field, value in block.items() if field not in ignored | _COMMON}
            _check(name, {**stated, "rope_type": rope_type_of(block)})
        values = values_of(self) or {}
        if self.rope_parameters and any(keys <= values.keys() for keys in _GEOMETRY):
            model_of(_without(values, ignored - _COMMON))

    @staticmethod
    def _complete(block: Any, theta: float, share: float | None) -> None:
        block.setdefault("rope_theta", theta)
        if share is not None:
            block.setdefault("partial_rotary_factor", share)

    def _complete_length(self, block: Any, *, nested: bool) -> None:
        """Phi-3 states its original length beside the block, and that one counts."""
        original = getattr(self, "original_max_position_embeddings", None)
        declared = getattr(self, "max_position_embeddings", None)
        if original is not None and not nested:
            block["original_max_position_embeddings"] = original
        elif declared is not None:
            block.setdefault("original_max_position_embeddings", declared)


def _check(name: str, block: Mapping[str, Any]) -> None:
    try:
        scaling_from({key: value for key, value in block.items() if value is not None})
    except RopeConfigError as error:
        raise RopeConfigError([f"{name}: {problem}" for problem in error.problems]) from error


def rope_config_validation(config: Any, ignore_keys: Collection[str] | None = None) -> None:
    """Check the rope of a configuration; transformers 4's function of that name.

    Args:
        config: With the method `validate_rope`, or anything that `model_of` takes.
        ignore_keys: Keys of a rope block to pass over.

    Raises:
        RopeKeyError: A block lacks a key that its type needs.
        RopeConfigError: Something else is wrong.
    """
    if isinstance(config, RotaryEmbeddingConfigMixin):
        config.validate_rope(ignore_keys)
        return
    values = values_of(config)
    if values is None or not ignore_keys:
        model_of(config)
        return
    model_of(_without(values, ignore_keys))


def _without(values: Mapping[str, Any], ignored: Collection[str]) -> dict[str, Any]:
    """Return a configuration whose rope blocks lack some keys."""
    blocks = {name: values[name] for name in BLOCK_KEYS if isinstance(values.get(name), Mapping)}
    kept = {name: {key: one for key, one in block.items() if key not in ignored} for name, block in blocks.items()}
    return {**values, **kept}
