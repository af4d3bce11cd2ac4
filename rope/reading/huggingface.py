"""Any configuration of Hugging Face's kind, in any spelling, to one `ModelRope`."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tightrope.rope.config import ModelRope, RopeConfig
from tightrope.rope.errors import RopeConfigError, RopeWarning
from tightrope.rope.mrope import MRope
from tightrope.rope.reading.blocks import Block, parameters, read_blocks, type_name
from tightrope.rope.reading.families import find_family
from tightrope.rope.reading.family import Family
from tightrope.rope.reading.geometry import LAYERS_KEYS, LENGTH_KEYS, Geometry, read_geometry, with_default
from tightrope.rope.reading.layers import WITHOUT_ATTENTION
from tightrope.rope.reading.sheet import Findings, Sheet, shortened, suggestion
from tightrope.rope.reading.source import load
from tightrope.rope.scaling import find_type, rope_types

# Where a model of several parts keeps the part that writes text.
TEXT_KEYS = ("text_config", "thinker_config", "language_config", "llm_config")
MOST_LAYERS = 10_000

# What is taken for granted of a model_type that the table does not have.
UNKNOWN_FAMILY = Family(partial=1.0)


def read(source: object, strict: bool = False) -> ModelRope:
    """Return the ropes of a model, layer by layer.

    Args:
        source: The path of a config.json or of its folder, a configuration as a dict, or a transformers configuration.
            Both spellings are read: rope_theta with rope_scaling, and rope_parameters, flat or per layer type.
        strict: Raise for unknown keys in a rope block and for an unknown model_type, instead of warning and noting.

    Raises:
        RopeConfigError: with every problem of the configuration, each with its key path, value and remedy.

    Warns:
        RopeWarning: A rope block has a key that no rope type knows.
    """
    config, name = load(source)
    findings = Findings()
    model = _read_sheet(_text_part(Sheet(config, findings)), findings, strict)
    if strict:
        findings.problems.extend(findings.unknown)
    if findings.problems or model is None:
        raise RopeConfigError(findings.problems, source=name)
    for text in findings.unknown:
        warnings.warn(f"{name}: {text}" if name else text, RopeWarning, stacklevel=2)
    return model


def _text_part(sheet: Sheet) -> Sheet:
    """Return the innermost configuration of the part that writes text."""
    for key in TEXT_KEYS:
        if isinstance(sheet.values.get(key), Mapping):
            inner = sheet.inner(key)
            if inner is not None:
                if inner.values.get("model_type") is None:
                    inner = Sheet({**inner.values, "model_type": sheet.values.get("model_type")}, inner.findings, inner.path)
                return _text_part(inner)
    return sheet


def _read_sheet(sheet: Sheet, findings: Findings, strict: bool) -> ModelRope | None:
    model_type = sheet.text("model_type") or ""
    family = _family(sheet, model_type, strict)
    if family.no_rope is not None:
        findings.problem(f"model_type {model_type!r} has no rotary position embedding to read: {family.no_rope}")
        return None
    blocks = read_blocks(sheet, family)
    ropes = {key: _rope(sheet, block, family) for key, block in blocks.items() if block is not None}
    layers = _layers(sheet, family, blocks)
    good = {key: rope for key, rope in ropes.items() if rope is not None}
    if findings.problems:
        return None
    if family.note:
        findings.note(family.note)
    notes = (*findings.notes, *findings.unknown)
    return ModelRope(ropes=good, layers=layers, model_type=model_type, notes=notes)


def _family(sheet: Sheet, model_type: str, strict: bool) -> Family:
    family = find_family(model_type)
    if family is not None:
        return family
    text = f"unknown model_type {model_type!r}: read like Llama (pairs half a head apart); check layout and defaults"
    (sheet.findings.problem if strict else sheet.findings.note)(text)
    return UNKNOWN_FAMILY


def _rope(sheet: Sheet, block: Block, family: Family) -> RopeConfig | None:
    """Return one rope, None (and problems) where it cannot be right."""
    findings, place = sheet.findings, block.sheet.path[:-1]
    name = type_name(block)
    if name not in rope_types():
        hint = suggestion(name, rope_types()) or f"; known: {', '.join(rope_types())}"
        findings.problem(f"unknown rope_type {shortened(name)} in {place}{hint}")
        return None
    values = parameters(block, name, family)
    name = _alpha(block, name, values, family)
    _original_length(sheet, name, values, block)
    geometry = read_geometry(sheet, block, family, name)
    base = _base(sheet, block)
    length = with_default(sheet, LENGTH_KEYS, family.shape.length)
    try:
        scaling = find_type(name).from_block(values)
    except RopeConfigError as error:
        findings.problems.extend(f"{block.sheet.path}{problem}" for problem in error.problems)
        return None
    mrope = _mrope(block, family, geometry)
    if geometry is None or base is None or findings.problems:
        return None
    try:
        rope = RopeConfig(
            **geometry._asdict(),
            base=base,
            scaling=scaling,
            max_position_embeddings=length,
            mrope=mrope,
            direction=family.direction,
        )
    except RopeConfigError as error:
        findings.problems.extend(f"{place}: {problem}" for problem in error.problems)
        return None
    for remark in scaling.remarks(rope):
        findings.note(f"{place}: {remark}")
    _compare_lengths(rope, place, findings)
    return rope


def _alpha(block: Block, name: str, values: dict[str, Any], family: Family) -> str:
    """Hunyuan writes a static NTK base as `dynamic` with `alpha`."""
    if not (family.alpha and name == "dynamic" and values.get("alpha")):
        return name
    block.sheet.findings.note(
        f"{block.sheet.where('alpha')} makes this a static NTK base (rope_type 'ntk'); factor and mscale have no effect"
    )
    values["factor"] = values["alpha"]
    return "ntk"


def _original_length(sheet: Sheet, name: str, values: dict[str, Any], block: Block) -> None:
    """A top-level original_max_position_embeddings counts before the block's, as in transformers."""
    stated = sheet.integer("original_max_position_embeddings")
    if stated is None or name not in ("yarn", "longrope", "llama3"):
        return
    own = values.get("original_max_position_embeddings")
    if own is not None and own != stated:
        sheet.findings.note(
            f"original_max_position_embeddings is {stated} at the top and {shortened(own)} in {block.sheet.path[:-1]}; "
            "the one at the top counts"
        )
    values["original_max_position_embeddings"] = stated


def _base(sheet: Sheet, block: Block) -> float | int | None:
    keys = block.defaults.base_keys
    outside = sheet.number(*keys, above=0)
    inside = block.sheet.number("rope_theta", above=0)
    if inside is not None:
        if outside is not None and outside != inside and block.defaults.scaled:
            sheet.findings.note(
                f"{block.sheet.where('rope_theta')} {inside:g} counts; {sheet.where(keys[0])} {outside:g} differs"
            )
        return inside
    if outside is not None:
        return outside
    if sheet.find(*keys) is not None or block.sheet.find("rope_theta") is not None:
        return None
    sheet.findings.note(f"no {keys[0]} for {block.key}; the family's default {block.defaults.base:g} is used")
    return block.defaults.base


def _mrope(block: Block, family: Family, geometry: Geometry | None) -> MRope | None:
    """Return the sections of several position axes."""
    sections = block.sheet.integers("mrope_section")
    if sections is None and block.sheet.find("mrope_section") is None and family.sections is not None:
        block.sheet.findings.note(f"no mrope_section; the family's default {list(family.sections)} is used")
        sections = list(family.sections)
    if not sections or geometry is None:
        return None
    order = family.mrope or ("interleaved" if block.sheet.flag("mrope_interleaved") else "chunked")
    if order == "interleaved" and len(sections) > 1 and all(size >= 0 for size in sections):
        # Axis 0 takes every pair that the others leave.
        sections = [max(geometry.rotary_dim // 2 - sum(sections[1:]), 0), *sections[1:]]
    try:
        return MRope(sections=tuple(sections), order=order)
    except RopeConfigError as error:
        block.sheet.findings.problems.extend(f"{block.sheet.path}{problem}" for problem in error.problems)
        return None


def _compare_lengths(rope: RopeConfig, place: str, findings: Findings) -> None:
    factor = getattr(rope.scaling, "factor", None)
    original = getattr(rope.scaling, "original_max_position_embeddings", None)
    if rope.scaling.rope_type != "yarn" or None in (factor, original, rope.max_position_embeddings):
        return
    if factor * original != rope.max_position_embeddings:  # type: ignore[operator]  # not None: checked above
        findings.note(
            f"{place}: factor {factor:g} × original_max_position_embeddings {original} is not "
            f"max_position_embeddings {rope.max_position_embeddings}; each is used as it stands"
        )


def _layers(sheet: Sheet, family: Family, blocks: Mapping[str, Block | None]) -> tuple[str | None, ...]:
    """Return for each layer the key of its rope, None where it has no position."""
    types = _layer_types(sheet, family)
    without = _without_position(sheet, family, types)
    layers: list[str | None] = []
    for layer_type, no_position in zip(types, without, strict=True):
        key = _rope_of(layer_type, family, blocks)
        if no_position or layer_type in WITHOUT_ATTENTION or (key in blocks and blocks[key] is None):
            layers.append(None)
        elif key in blocks:
            layers.append(key)
        else:
            sheet.findings.problem(
                f"layer type {layer_type!r} has no rope; rope_parameters has {', '.join(map(repr, blocks))}"
            )
            return ()
    if any(without) or any(layer in WITHOUT_ATTENTION for layer in types):
        number = layers.count(None)
        sheet.findings.note(f"{number} of {len(layers)} layers have no position embedding")
    return tuple(layers)


def _layer_types(sheet: Sheet, family: Family) -> list[str]:
    stated = sheet.strings("layer_types", "layers_block_type")
    count = with_default(sheet, LAYERS_KEYS, family.shape.layers)
    if count is None:
        if sheet.find(*LAYERS_KEYS) is None and stated is None:
            sheet.findings.note("num_hidden_layers is missing, so `layers` is empty")
        return stated or []
    if count > MOST_LAYERS:
        sheet.reject(next(key for key in LAYERS_KEYS if key in sheet.values), f"<= {MOST_LAYERS}", count)
        return []
    if stated is not None:
        if len(stated) < count:
            sheet.findings.problem(f"{sheet.where('layer_types')} must have {count} entries, got {len(stated)}")
            return []
        return stated[:count]
    return family.layers(sheet, count) if family.layers else ["full_attention"] * count


def _without_position(sheet: Sheet, family: Family, types: Sequence[str]) -> list[bool]:
    """Return which layers have no position: `no_rope_layers` where it is stated (1 means that a layer has one)."""
    stated = sheet.integers("no_rope_layers")
    if stated:
        if len(stated) < len(types):
            sheet.findings.problem(f"{sheet.where('no_rope_layers')} must have {len(types)} entries, got {len(stated)}")
            return [False] * len(types)
        return [not has for has in stated[: len(types)]]
    if stated is not None and family.no_position is not None:
        sheet.findings.note(f"{sheet.where('no_rope_layers')} is empty: the family's default pattern holds")
    return family.no_position(sheet, types) if family.no_position else [False] * len(types)


def _rope_of(layer_type: str, family: Family, blocks: Mapping[str, Block | None]) -> str:
    if layer_type in blocks:
        return layer_type
    for key, rope in family.ropes.items():
        if layer_type in rope.layer_types:
            return key
    return "default" if "default" in blocks else layer_type
