"""Which layer has which rope."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.families.rules.compared import compare_rule
from tightrope.rope.reading.families.rules.layer_types import FULL, WITHOUT_ATTENTION
from tightrope.rope.reading.huggingface.blocks import Block
from tightrope.rope.reading.huggingface.geometry import LAYERS_KEYS, with_default
from tightrope.rope.reading.section import MOST_LAYERS, Section, shortened
from tightrope.rope.reading.statements import KNOWN_KEYS

# Ropes that a message names.
_MOST_NAMED = 10


def layer_types(section: Section, family: Family) -> list[str]:
    """Return the type of each layer: as the configuration lists it, else as the family's rule says."""
    stated = section.strings("layer_types", "layers_block_type")
    count = _layer_count(section, family)
    if count is None:
        if section.find(*LAYERS_KEYS) is None and stated is None:
            section.findings.note("num_hidden_layers is missing, so `layers` is empty")
        return _bounded(section, stated or [])
    if count > MOST_LAYERS:
        section.reject(next(key for key in LAYERS_KEYS if section.get(key) is not None), f"<= {MOST_LAYERS}", count)
        return []
    if stated is None:
        return family.layers(section, count) if family.layers else [FULL] * count
    if len(stated) < count:
        section.findings.problem(f"{section.where('layer_types')} must have {count} entries, got {len(stated)}")
        return []
    compare_rule(section, "layer_types", stated[:count], family.layers and (lambda own: family.layers(own, count)))
    return stated[:count]


def _bounded(section: Section, types: list[str]) -> list[str]:
    if len(types) <= MOST_LAYERS:
        return types
    section.findings.problem(
        f"{section.where('layer_types')} must have at most {MOST_LAYERS} entries, got {len(types)}"
    )
    return []


def _layer_count(section: Section, family: Family) -> int | None:
    if family.layers_factor is not None and section.find(family.layers_factor[0]) is not None:
        key, factor = family.layers_factor
        blocks = section.integer(key)
        return None if blocks is None else blocks * factor
    return with_default(section, LAYERS_KEYS, family.shape[2])


def rope_of(layer_type: str, family: Family, blocks: Mapping[str, Any]) -> str:
    """Return the key of the rope that layers of this type use."""
    if layer_type in blocks:
        return layer_type
    for key, rope in family.ropes.items():
        if rope is not None and key in blocks and layer_type in rope.layer_types:
            return key
    return "default" if "default" in blocks else layer_type


def assign(
    section: Section, family: Family, types: Sequence[str], blocks: Mapping[str, Block | None]
) -> tuple[str | None, ...]:
    """Return for each layer the key of its rope, None where it has no position."""
    layers: list[str | None] = []
    without = family.no_position(section, types) if family.no_position else [False] * len(types)
    for layer_type, no_position in zip(types, without, strict=True):
        key = rope_of(layer_type, family, blocks)
        attends = family.all_layers or layer_type not in WITHOUT_ATTENTION
        if no_position or not attends or (key in blocks and blocks[key] is None):
            layers.append(None)
        elif key in blocks:
            layers.append(key)
        else:
            known = ", ".join(map(shortened, list(blocks)[:_MOST_NAMED]))
            section.findings.problem(f"layer type {shortened(layer_type)} has no rope; rope_parameters has {known}")
            return ()
    if None in layers:
        section.findings.note(f"{layers.count(None)} of {len(layers)} layers have no position")
    return tuple(layers)


def sheet_of(section: Section, block: Block, family: Family, types: Sequence[str], keys: Mapping[str, Any]) -> Section:
    """Return the configuration as the layers of this rope see it.

    Their own widths come from per_layer_config (transformers 5), or from keys such as global_head_dim: one that is
    there, be it empty, takes the place of such keys and of their defaults.
    """
    own: dict[str, object] = {}
    for name, (key, default) in block.defaults.widths.items():
        if default is not None and "per_layer_config" in section.values:
            continue
        stated = section.get(key)
        if stated is None and default is None:
            continue
        own[name] = default if stated is None else stated
        if stated is None:
            section.findings.note(f"{section.where(key)} is missing; the family's default {default} is used")
    own |= _per_layer(section, block, family, types, keys)
    return replace(section, values={**section.values, **own}) if own else section


def _per_layer(
    section: Section, block: Block, family: Family, types: Sequence[str], keys: Mapping[str, Any]
) -> dict[str, object]:
    """Return the values that the first of the rope's layers has; layers that say otherwise are left unread."""
    overrides = section.inner("per_layer_config")
    if overrides is None:
        return {}
    layers = [index for index, layer_type in enumerate(types) if rope_of(layer_type, family, keys) == block.key]
    names = {name.lstrip("0") or "0": name for name in overrides.values if name.isdecimal()}
    found = [overrides.inner(names[str(index)]) if str(index) in names else None for index in layers]
    if not found or found[0] is None:
        return {}
    first = found[0].values
    for inner in filter(None, found):
        inner.consume(*(key for key in KNOWN_KEYS & inner.values.keys() if inner.values[key] == first.get(key)))
    return dict(first)
