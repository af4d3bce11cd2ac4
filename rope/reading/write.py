"""From a `ModelRope` back to the keys of a config.json, in either spelling."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

from tightrope.rope.config.model import ModelRope, Spelling
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError, RopeWarning
from tightrope.rope.reading.families.family import Family, LayerRope
from tightrope.rope.reading.families.lookup import find_family
from tightrope.rope.reading.families.rules import attention_scale as scales
from tightrope.rope.reading.families.rules.layer_types import FULL
from tightrope.rope.reading.families.rules.rewrites import lists_a_layer
from tightrope.rope.reading.families.unknown import family_like
from tightrope.rope.reading.huggingface.layer_words import layer_words
from tightrope.rope.reading.reader import read
from tightrope.rope.scaling.longrope import LongRope
from tightrope.rope.scaling.ntk import Ntk
from tightrope.rope.scaling.yarn import Yarn
from tightrope.rope.support.validation import instance, one_of, require

SPELLINGS: tuple[Spelling, ...] = ("v4", "v5")


def to_hf(model: ModelRope, spelling: Spelling = "v5") -> dict[str, object]:
    """Return the fragment of a config.json that reads back as this model: the same ropes, the same layers.

    Args:
        model: The ropes of a model.
        spelling: `"v4"`: rope_theta and rope_scaling; `"v5"`: rope_parameters, as transformers 5 writes it.

    Raises:
        RopeConfigError: The spelling has no words for some of it; the message says for what.
    """
    require(instance("model", model, ModelRope, "a ModelRope, as tightrope.read returns it"))
    family = find_family(model.model_type) or family_like(model)
    require_spelling(model, family, spelling)
    around, ropes = {"model_type": model.model_type, **_shape(model, family)}, rope_keys(model, family, spelling)
    fragments = [{**around, **words, **ropes} for words in layer_words(model, family)]
    fragment = next((one for one in fragments if not _problems(model, one, spelling)), None)
    if fragment is None:
        raise RopeConfigError(_problems(model, fragments[0], spelling))
    return fragment


def require_spelling(model: ModelRope, family: Family, spelling: Spelling) -> None:
    """Raise for a spelling that does not exist, or that the classes of a family do not read."""
    require(one_of("spelling", spelling, SPELLINGS))
    if spelling == "v4" and model.ropes and not family.reads_v4:
        raise RopeConfigError(
            f"the v4 spelling of {model.model_type!r} is read by no library: its class takes rope_parameters alone; "
            "use 'v5'"
        )


def rope_keys(model: ModelRope, family: Family, spelling: Spelling) -> dict[str, object]:
    """Return the keys that say how the model rotates."""
    if spelling == "v5":
        blocks = {key: _block_v5(model, key, family) for key in model.ropes}
        if list(blocks) == ["default"]:
            return {"rope_parameters": blocks["default"]}
        without = {key: None for key, rope in family.ropes.items() if rope is None}
        return {"rope_parameters": {**blocks, **without}}
    if list(model.ropes) == ["default"]:
        return _single_v4(model, family)
    return _several_v4(model, family)


def _shape(model: ModelRope, family: Family) -> dict[str, object]:
    shape: dict[str, object] = {}
    for key, rope in model.ropes.items():
        shape |= _widths(rope, family, key)
        if rope.max_position_embeddings is not None:
            shape["max_position_embeddings"] = rope.max_position_embeddings
    if model.layers:
        shape["num_hidden_layers"] = len(model.layers)
    if family.query is scales.llama4:
        shape |= _temperature(model)
    return shape


def _temperature(model: ModelRope) -> dict[str, object]:
    scale = model.query_scales.get(None)
    if scale is None:
        return {"attn_temperature_tuning": False}
    return {"attn_temperature_tuning": True, "attn_scale": scale.beta, "floor_scale": scale.length}


def _widths(rope: RopeConfig, family: Family, key: str) -> dict[str, object]:
    defaults = family.ropes.get(key) or LayerRope()
    if family.mla is not None:
        widths: dict[str, object] = {
            "qk_nope_head_dim": rope.head_dim - rope.rotary_dim,
            "qk_rope_head_dim": rope.rotary_dim,
        }
    else:
        widths = {family.head_dim_keys[0]: rope.head_dim}
        if family.rotary_dim_keys:
            widths[family.rotary_dim_keys[0]] = rope.frequency_dim or rope.rotary_dim
    if family.layout_key is not None:
        widths[family.layout_key] = rope.layout == "interleaved"
    return {defaults.widths[name][0] if name in defaults.widths else name: value for name, value in widths.items()}


def _block_v5(model: ModelRope, key: str, family: Family) -> dict[str, object]:
    rope = model.ropes[key]
    return {"rope_theta": rope.base, **_share(rope, family, "partial_rotary_factor"), **_scaling(model, key, family)}


def _scaling(model: ModelRope, key: str, family: Family) -> dict[str, object]:
    """Return the rope type with its parameters and the sections."""
    rope = model.ropes[key]
    if family.alpha and isinstance(rope.scaling, Ntk):
        block: dict[str, object] = {"rope_type": "dynamic", "factor": 1.0, "alpha": rope.scaling.factor}
    else:
        block = {"rope_type": rope.scaling.rope_type, **rope.scaling.to_block(), **_whole_factor(rope)}
    if "llama_4_scaling_beta" in family.block_keys and key in model.query_scales:
        block["llama_4_scaling_beta"] = model.query_scales[key].beta
    return block | _sections(rope, family)


def _whole_factor(rope: RopeConfig) -> dict[str, object]:
    """Say a YaRN attn_factor also as the attention_factor that it makes: transformers reads that one alone."""
    scaling = rope.scaling
    if not isinstance(scaling, Yarn) or scaling.attention_factor is not None or scaling.attn_factor == 1:
        return {}
    return {"attention_factor": scaling.own_attention_factor(rope)}


def _sections(rope: RopeConfig, family: Family) -> dict[str, object]:
    if rope.mrope is None or family.axes is not None:
        return {}
    order = family.section_order or range(rope.mrope.axes)
    keys: dict[str, object] = {"mrope_section": [rope.mrope.sections[axis] for axis in order]}
    if family.mrope in (None, "interleaved"):
        keys["mrope_interleaved"] = rope.mrope.order == "interleaved"
    return keys


def _share(rope: RopeConfig, family: Family, key: str) -> dict[str, object]:
    """Return the rotated share of the head, where it has to be said."""
    width = rope.frequency_dim or rope.rotary_dim
    if family.partial is None or family.mla or family.rotary_dim_keys or rope.scaling.rope_type == "proportional":
        return {}
    share = width / rope.head_dim
    # A reader truncates head_dim · share: a product that rounds to just below the width would lose a channel.
    return {key: share if int(rope.head_dim * share) == width else math.nextafter(share, 1.0)}


def _single_v4(model: ModelRope, family: Family) -> dict[str, object]:
    rope = model.ropes["default"]
    keys = {**_base(rope, family.base_keys), **_scaling_v4(model, "default", family)}
    if family.partial_keys:
        keys |= _share(rope, family, family.partial_keys[0])
    if isinstance(rope.scaling, LongRope) and rope.scaling.original_max_position_embeddings is not None:
        keys["original_max_position_embeddings"] = rope.scaling.original_max_position_embeddings
    return keys


def _base(rope: RopeConfig, keys: tuple[str, ...]) -> dict[str, object]:
    plain = [key for key in keys if "." not in key]
    return {plain[0]: rope.base} if plain else {}


def _scaling_v4(model: ModelRope, key: str, family: Family) -> dict[str, Any]:
    block = _scaling(model, key, family)
    if block == {"rope_type": "default"} and not family.block:
        return {"rope_scaling": None}
    # Old readers know the type under one of two names: some ask for the one, some for the other.
    return {"rope_scaling": {"type": block["rope_type"], **block}}


def _several_v4(model: ModelRope, family: Family) -> dict[str, object]:
    if family.rewrite is lists_a_layer and not family.ropes:
        return _lists_v4(model, family)
    named = {key: family.ropes.get(key) for key in model.ropes}
    if not all(named.values()):
        raise RopeConfigError(
            f"the v4 spelling of {model.model_type!r} has no words for several ropes "
            f"({', '.join(model.ropes)}); use 'v5'"
        )
    keys: dict[str, object] = {"rope_scaling": None}
    for key, defaults in named.items():
        if defaults is not None:
            keys |= _base(model.ropes[key], defaults.base_keys)
            if defaults.scaled:
                keys |= _scaling_v4(model, key, family) | _share(model.ropes[key], family, "partial_rotary_factor")
    return keys


def _lists_v4(model: ModelRope, family: Family) -> dict[str, object]:
    """Step 3.5's spelling: the base and the share of each layer in a list; rope_scaling is the full layers'."""
    ropes = [model.ropes[key] for key in model.layers if key is not None]
    scaling = _scaling_v4(model, FULL, family) if FULL in model.ropes else {}
    shares = [_share(rope, family, "share").get("share", 1.0) for rope in ropes]
    return {"rope_theta": [rope.base for rope in ropes], "partial_rotary_factors": shares, **scaling}


def _problems(model: ModelRope, fragment: Mapping[str, object], spelling: Spelling) -> list[str]:
    """Return how a fragment fails to read back as the model: what a spelling cannot say is found out here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RopeWarning)
            again = read(dict(fragment), strict=find_family(model.model_type) is not None)
    except RopeConfigError as error:
        return [f"the {spelling} spelling cannot express this model: {problem}" for problem in error.problems]
    return [
        f"the {spelling} spelling of {model.model_type!r} cannot express {what}: {ours!r} would read back as {theirs!r}"
        for what, ours, theirs in _differences(model, again)
    ]


def _differences(model: ModelRope, again: ModelRope) -> list[tuple[str, object, object]]:
    differences: list[tuple[str, object, object]] = []
    if set(model.ropes) != set(again.ropes):
        differences.append(("these ropes", sorted(model.ropes), sorted(again.ropes)))
    for key in set(model.ropes) & set(again.ropes):
        ours, theirs = vars(model.ropes[key]), vars(again.ropes[key])
        differences += [(f"{name} of {key!r}", ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]]
    for name in ("layers", "softmax_scale", "query_scales"):
        if getattr(model, name) != getattr(again, name):
            differences.append((name, getattr(model, name), getattr(again, name)))
    return differences


ModelRope.writer = to_hf
