"""What is taken for granted of a model_type that no table has, and what its own keys say beyond that."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tightrope.rope.config.model import ModelRope
from tightrope.rope.reading.families.family import Family, LayerRope
from tightrope.rope.reading.families.learned import learned_family
from tightrope.rope.reading.families.rules import rewrites
from tightrope.rope.reading.families.rules.layer_types import FULL, SLIDING
from tightrope.rope.reading.families.rules.no_position import always_without, no_rope_layers
from tightrope.rope.reading.section import Section, shortened
from tightrope.rope.reading.statements import (
    BASE_KEYS,
    SHARE_KEYS,
    WIDTH_KEYS,
    interleaved,
    learned,
    learned_in_block,
    rotates,
    sounds_like_position,
)

UNKNOWN_FAMILY = Family(
    partial=1.0,
    base_keys=BASE_KEYS,
    partial_keys=SHARE_KEYS,
    rotary_dim_keys=WIDTH_KEYS,
    layout_key="rope_interleave",
    no_position=no_rope_layers(),
    rewrite=rewrites.type_at_the_top,
)
UNKNOWN_MLA = replace(UNKNOWN_FAMILY, layout="interleaved", softmax=True, mla=(0, 0))

Statements = Sequence[tuple[str, object]]

_ROPE_KEYS = frozenset({*BASE_KEYS, *SHARE_KEYS, *WIDTH_KEYS, "rope_scaling", "rope_parameters", "qk_rope_head_dim"})
_SLIDING_BASES = (
    "swa_rope_theta",
    "rope_local_base_freq",
    "local_rope_theta",
    "rope_local_theta",
    "sliding_rope_theta",
)


def family_like(model: ModelRope) -> Family:
    """Return the family in whose words a model of an unknown one is written."""
    learned = learned_family(model.model_type)
    if learned is not None:
        return learned.family
    return UNKNOWN_MLA if any(rope.side == "tail" for rope in model.ropes.values()) else UNKNOWN_FAMILY


def says_something(section: Section) -> bool:
    """Return whether a configuration of an unknown family mentions rotary positions."""
    return any(
        value is not None and (key in _ROPE_KEYS or rotates(key, value) is not None)
        for key, value in section.values.items()
    )


def unknown_family(section: Section) -> Family:
    """Return the family that the keys of a configuration describe, where its model_type is unknown."""
    latent = section.values.get("qk_rope_head_dim") is not None
    family = UNKNOWN_MLA if latent else UNKNOWN_FAMILY
    if latent and section.find("qk_nope_head_dim") is None:
        section.findings.problem(
            f"{section.where('qk_nope_head_dim')} is missing beside qk_rope_head_dim (MLA); give it, or the model_type "
            "of a family like it"
        )
    elif section.values.get("kv_lora_rank") is not None:
        section.findings.unread.append(
            f"{section.where('kv_lora_rank')} says latent attention (MLA), and no qk_rope_head_dim how wide its rope is"
        )
    stated = [item for item in section.values.items() if item[1] is not None and sounds_like_position(item[0])]
    columns = {
        **_layout(section, stated),
        **_sliding(section),
        **_without(section, stated),
        **_refused(section, stated),
    }
    return replace(family, **columns)


def _layout(section: Section, stated: Statements) -> dict[str, Any]:
    for key, value in stated:
        neighbours = interleaved(key, value)
        if neighbours is not None:
            section.translated(key, f"layout {'interleaved' if neighbours else 'half'!r}")
            section.consume(key)
            return {"layout": "interleaved" if neighbours else "half"}
    return {}


def _sliding(section: Section) -> dict[str, Any]:
    """A base of the sliding layers can be placed where layer_types says which layers these are."""
    base = next((key for key in _SLIDING_BASES if section.values.get(key) is not None), None)
    types = section.values.get("layer_types")
    if base is None or not isinstance(types, list) or SLIDING not in types:
        return {}
    return {"ropes": {SLIDING: LayerRope(base_keys=(base,), scaled=False), FULL: LayerRope(base_keys=BASE_KEYS)}}


def _without(section: Section, stated: Statements) -> dict[str, Any]:
    for key, value in stated:
        if rotates(key, value) is False or (key == "alibi" and value is True):
            section.consume(key)
            return {"without": always_without(f"{section.where(key)} {shortened(value)}: nothing rotates")}
    return {}


def _refused(section: Section, stated: Statements) -> dict[str, Any]:
    key = learned((key for key, _ in stated), section.values)
    if key is not None:
        return _not_held(section, key)
    for name in ("rope_parameters", "rope_scaling"):
        block = section.inner(name) if isinstance(section.values.get(name), Mapping) else None
        key = None if block is None else next((key for key in block.values if learned_in_block(key)), None)
        if block is not None and key is not None and block.values[key]:
            return _not_held(block, key)
    return {}


def _not_held(section: Section, key: str) -> dict[str, Any]:
    reason = f"{section.where(key)} {shortened(section.values[key])}: config.json does not hold what is learned"
    return {"refused": always_without(reason)}
