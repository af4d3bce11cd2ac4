"""A whole config.json in the other spelling: every key stays, those that say how the model rotates are written anew."""

import warnings
from collections.abc import Mapping
from typing import Any

from tightrope.rope.config.model import ModelRope, Spelling
from tightrope.rope.errors import RopeConfigError, RopeWarning
from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.families.lookup import find_family
from tightrope.rope.reading.families.unknown import family_like
from tightrope.rope.reading.huggingface.model import TEXT_KEYS, text_key
from tightrope.rope.reading.reader import read
from tightrope.rope.reading.source import load
from tightrope.rope.reading.write import require_spelling, rope_keys
from tightrope.rope.support.called import told_in_words


@told_in_words
def convert(
    source: object, spelling: Spelling, *, scaling: Mapping[str, Any] | None = None, layer_type: str | None = None
) -> dict[str, Any]:
    """Return a configuration with its ropes in one spelling, and every other key as it was.

    Args:
        source: See `read`.
        spelling: `"v4"`: rope_theta and rope_scaling; `"v5"`: rope_parameters, as transformers 5 writes it.
        scaling: A rope block to replace the configuration's own, to extend a context.
        layer_type: Which rope it replaces, where there are several.

    Raises:
        RopeConfigError: The source cannot be read, the spelling has no words for some of it, or no library reads this
            family in it.
    """
    config, name = load(source)
    model = _read(source)
    if scaling is not None:
        model = model.replace(layer_type, scaling=scaling)
    if not model.ropes:
        return config
    require_spelling(model, _family(model), spelling)
    converted = _replaced(config, model, spelling)
    _require_same(model, converted, spelling, name)
    return converted


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a conversion took away and what it wrote, by key; of an inner part by `text_config.rope_theta`."""
    old, new = _flat(before), _flat(after)
    removed = {key: value for key, value in old.items() if key not in new}
    return removed, {key: value for key, value in new.items() if key not in old or old[key] != value}


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the keys of its inner language model among its own."""
    inner = {key: config[key] for key in TEXT_KEYS if isinstance(config.get(key), Mapping)}
    nested = {f"{name}.{key}": value for name, part in inner.items() for key, value in part.items()}
    return {key: value for key, value in config.items() if key not in inner} | nested


def _read(source: object) -> ModelRope:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RopeWarning)
        return read(source)


def _replaced(config: Mapping[str, Any], model: ModelRope, spelling: Spelling) -> dict[str, Any]:
    """Write the rope keys anew, in the language model, where the first of the old ones stood."""
    inner = text_key(config)
    if inner is not None:
        return {**config, inner: _replaced(config[inner], model, spelling)}
    family = _family(model)
    fresh, old = rope_keys(model, family, spelling), _old_keys(family)
    first = next((key for key in config if key in old), None)
    if first is None:
        return {**config, **fresh}
    kept = {key: value for key, value in config.items() if key == first or key not in {*old, *fresh}}
    return dict(item for key, value in kept.items() for item in (fresh.items() if key == first else [(key, value)]))


def _family(model: ModelRope) -> Family:
    return find_family(model.model_type) or family_like(model)


def _old_keys(family: Family) -> set[str]:
    bases = {*family.base_keys, *(key for rope in family.ropes.values() if rope for key in rope.base_keys)}
    factor = () if family.base_factor_key is None else (family.base_factor_key,)
    return {"rope_theta", "rope_scaling", "rope_parameters", *bases, *factor, *family.partial_keys}


def _require_same(model: ModelRope, converted: Mapping[str, Any], spelling: Spelling, name: str | None) -> None:
    again = _read(converted)
    if (again.ropes, again.layers) != (model.ropes, model.layers):
        what = "the layers" if again.ropes == model.ropes else "the ropes"
        raise RopeConfigError(f"the {spelling} spelling of {model.model_type!r} would change {what}", source=name)


def config_of(source: object, scaling: Mapping[str, Any] | None, layer_type: str | None) -> dict[str, Any]:
    """Return the content of a config.json, with one rope replaced: what a library is given to read.

    Args:
        source: What `read` takes.
        scaling: A rope block that replaces the configuration's own.
        layer_type: Which rope it replaces, where there are several.
    """
    if scaling is None:
        return load(source)[0]
    # mlx-lm reads the older spelling alone, where a family has one.
    spelling: Spelling = "v4" if _family(_read(source)).reads_v4 else "v5"
    return convert(source, spelling, scaling=scaling, layer_type=layer_type)
