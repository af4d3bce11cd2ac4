"""Families that name per-layer ropes by their own keys, rewritten to the usual ones: nested rope_parameters."""

from dataclasses import replace
from typing import Any

from tightrope.rope.reading.families.rules.layer_types import FULL, SLIDING
from tightrope.rope.reading.section import Section, shortened


def _flat_block(section: Section) -> dict[str, Any]:
    block = section.inner("rope_scaling") or section.inner("rope_parameters")
    return {} if block is None else dict(block.values)


def _nested(section: Section, blocks: dict[str, dict[str, Any]]) -> Section:
    kept = {key: value for key, value in section.values.items() if key not in ("rope_scaling", "rope_theta")}
    return replace(section, values={**kept, "rope_parameters": blocks})


def _is_nested(section: Section) -> bool:
    return any(isinstance(value, dict) for value in _flat_block(section).values())


def last_is_full(section: Section, types: list[str]) -> tuple[Section, list[str]]:
    """Gemma 4: the class gives the last layer full attention, whatever its configuration lists."""
    if not types or types[-1] == FULL:
        return section, types
    section.findings.note(f"the last layer is {FULL}: the family's class changes {shortened(types[-1])}")
    return section, [*types[:-1], FULL]


def base_a_layer(section: Section, types: list[str]) -> tuple[Section, list[str]]:
    """Granite SWA: layer_rope_theta gives each layer its base, 0 for none. Distinct bases become ropes "base_…"."""
    bases = section.list_of((int, float), "numbers", "layer_rope_theta")
    if bases is None or _is_nested(section) or len(bases) < len(types):
        return section, types
    distinct = sorted({base for base in bases[: len(types)] if base})
    flat = _flat_block(section)
    if len(distinct) == 1:
        return _nested(section, {"default": {**flat, "rope_theta": distinct[0]}}), ["default"] * len(types)
    names = {base: f"base_{base:g}" for base in distinct}
    blocks = {name: {**flat, "rope_theta": base} for base, name in names.items()}
    return _nested(section, blocks), [names.get(base, FULL) for base in bases[: len(types)]]


def scaled_layers(section: Section, types: list[str]) -> tuple[Section, list[str]]:
    """Molmo 2: rope_scaling_layers names the layers to which the scaling applies; the others keep the plain base."""
    scaled = section.integers("rope_scaling_layers")
    chosen = frozenset(scaled or ())
    if scaled is None or _is_nested(section) or frozenset(range(len(types))) <= chosen:
        return section, types
    flat = _flat_block(section)
    base = flat.get("rope_theta", section.get("rope_theta"))
    blocks = {"scaled": {**flat, "rope_theta": base}, "unscaled": {"rope_type": "default", "rope_theta": base}}
    return _nested(section, blocks), ["scaled" if index in chosen else "unscaled" for index in range(len(types))]


def lists_a_layer(section: Section, types: list[str]) -> tuple[Section, list[str]]:
    """Step 3.5, UltraBERT: rope_theta (and partial_rotary_factors) list a value a layer, alike for layers of a type.

    rope_scaling belongs to the full-attention layers alone.
    """
    windows = section.get("attention_windows")
    if isinstance(windows, list) and "layer_types" not in section.values and len(windows) >= len(types):
        types = [SLIDING if window else FULL for window in windows[: len(types)]]
    base = section.get("rope_theta")
    if not isinstance(base, list) or _is_nested(section) or len(base) < len(types):
        return section, types
    shares = section.get("partial_rotary_factors")
    blocks: dict[str, dict[str, Any]] = {}
    for index, layer_type in enumerate(types):
        block = {"rope_theta": base[index]}
        if isinstance(shares, list) and index < len(shares):
            block["partial_rotary_factor"] = shares[index]
        if blocks.setdefault(layer_type, block) != block:
            section.findings.problem(f"{section.where('rope_theta')} must be alike for all {layer_type!r} layers")
    scaling = section.inner("rope_scaling")
    if scaling is not None and FULL in blocks:
        blocks[FULL] |= scaling.values
    return _nested(section, blocks), types


def attention_blocks(section: Section, types: list[str]) -> tuple[Section, list[str]]:
    """Dory: its files count an attention block and its "mlp" as two layers, where the model has one."""
    return section, [layer_type for layer_type in types if layer_type != "mlp"]


def xdrope_sections(section: Section, types: list[str]) -> tuple[Section, list[str]]:
    """Hunyuan-VL: xdrope_section is mrope_section under another name."""
    values = dict(section.values)
    for name in ("rope_scaling", "rope_parameters"):
        block = values.get(name)
        if not isinstance(block, dict) or block.get("xdrope_section") is None:
            continue
        sections = block["xdrope_section"]
        section.findings.note(f"{section.where(name)}.xdrope_section is read as mrope_section")
        if block.get("mrope_section") not in (None, sections):
            section.findings.problem(
                f"{section.where(name)} has xdrope_section and another mrope_section; leave one out"
            )
        values[name] = {key: value for key, value in block.items() if key != "xdrope_section"}
        values[name] |= {"mrope_section": sections}
    return replace(section, values=values), types


def position_scale(section: Section, types: list[str]) -> tuple[Section, list[str]]:
    """Phi-3-small: rope_position_scale multiplies the positions, which is linear scaling by its reciprocal."""
    scale = section.number("rope_position_scale", above=0)
    if scale is None or scale == 1:
        return section, types
    section.translated("rope_position_scale", f"linear scaling by {1 / scale:g}")
    return replace(
        section, values={**section.values, "rope_scaling": {"rope_type": "linear", "factor": 1 / scale}}
    ), types


def type_at_the_top(section: Section, types: list[str]) -> tuple[Section, list[str]]:
    """Hymba, Nemotron-Flash: a rope type at the top of the file, whose 'ntk' has a factor that no key states.

    base · (2 · max_position_embeddings / orig_max_position_embeddings − 1) ** (d / (d − 2))
    """
    name, block = section.text("rope_type"), _flat_block(section)
    if name in (None, "default", block.get("rope_type"), block.get("type")):
        return section, types
    longest, first = section.integer("max_position_embeddings"), section.integer("orig_max_position_embeddings")
    if name != "ntk" or longest is None or first is None or block:
        section.findings.problem(
            f"{section.where('rope_type')} {shortened(name)} at the top of the file is read only as 'ntk' with "
            "orig_max_position_embeddings and max_position_embeddings; give rope_parameters with its rope_type"
        )
        return section, types
    factor = 2 * longest / first - 1
    section.findings.note(f"{section.where('rope_type')} 'ntk' is read as a static NTK base with factor {factor:g}")
    values = {**section.values, "rope_scaling": {"rope_type": "ntk", "factor": factor}}
    return replace(section, values=values), types


def qwen_dynamic(section: Section, types: list[str]) -> tuple[Section, list[str]]:
    """Qwen 1: use_dynamic_ntk, true where it is missing, grows the base beyond seq_length."""
    length, asked = section.integer("seq_length"), section.flag("use_dynamic_ntk")
    if length is not None and section.flag("use_logn_attn"):
        section.findings.note(
            f"use_logn_attn also multiplies the query beyond {length} by log(position) / log({length})"
        )
    if asked is False or length is None or _flat_block(section):
        return section, types
    section.findings.note(f"beyond seq_length {length} the base grows (rope_type 'qwen_dynamic')")
    block = {"rope_type": "qwen_dynamic", "original_max_position_embeddings": length}
    return replace(section, values={**section.values, "rope_scaling": block}), types
