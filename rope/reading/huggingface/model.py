"""Any configuration of Hugging Face's kind, in any spelling, to one `ModelRope`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.query_scale import QueryScale
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.families.lookup import UNKNOWN_FAMILY, find_family
from tightrope.rope.reading.families.rules.attention_scale import softmax_scale
from tightrope.rope.reading.huggingface.blocks import Block, filled, read_blocks
from tightrope.rope.reading.huggingface.layers import assign, layer_types, sheet_of
from tightrope.rope.reading.huggingface.rope import read_rope
from tightrope.rope.reading.section import Findings, Section, shortened

# Where a model of several parts keeps the part that writes text.
TEXT_KEYS = (
    "text_config",
    "thinker_config",
    "language_config",
    "llm_config",
    "decoder_config",
    "decoder",
    "global_config",
    "vlm_config",
)

# What says that a configuration of an unknown family has rotary positions at all.
ROPE_KEYS = ("rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor", "rotary_dim", "rotary_pct")


def _text_part(section: Section) -> Section:
    """Return the innermost configuration of the part that writes text."""
    for key in TEXT_KEYS:
        inner = section.inner(key) if isinstance(section.values.get(key), Mapping) else None
        if inner is not None:
            if inner.values.get("model_type") is None:
                values = {**inner.values, "model_type": section.values.get("model_type")}
                inner = Section(values, inner.findings, inner.path)
            return _text_part(inner)
    return section


def _read_section(section: Section, findings: Findings, strict: bool) -> ModelRope | None:
    model_type = section.text("model_type") or ""
    family = _family(section, model_type, strict)
    if family is None:
        return None
    refusal = family.refused(section) if family.refused else None
    if refusal is not None:
        findings.problem(f"model_type {model_type!r} cannot be expressed: {refusal}")
        return None
    types = layer_types(section, family)
    reason = family.without(section) if family.without else None
    if reason is not None:
        findings.note(f"no rotary positions: {reason}")
        model = ModelRope(ropes={}, layers=(None,) * len(types), model_type=model_type, notes=tuple(findings.notes))
        return None if findings.problems else model
    if family.rewrite is not None:
        section, types = family.rewrite(section, types)
    return _model(section, family, types, model_type)


def _model(section: Section, family: Family, types: Sequence[str], model_type: str) -> ModelRope | None:
    findings = section.findings
    blocks = read_blocks(section, family)
    stated = {key: block for key, block in blocks.items() if block is not None}
    read_ropes = {
        key: read_rope(sheet_of(section, block, family, types, blocks), block, family) for key, block in stated.items()
    }
    layers = assign(section, family, types, blocks)
    ropes = {key: rope for key, rope in read_ropes.items() if rope is not None}
    if findings.problems or len(ropes) < len(stated):
        return None
    for key in family.decoys:
        if section.values.get(key) is not None:
            findings.note(f"{section.where(key)} {shortened(section.values[key])} has no effect in this family")
    if family.note:
        findings.note(family.note)
    softmax = max((softmax_scale(rope, family) for rope in ropes.values()), default=1.0)
    if softmax != 1:
        findings.note(f"mscale_all_dim also multiplies the attention logits, by {softmax:.6g} (softmax_scale)")
    queries = _query_scales(section, family, stated, ropes)
    return ModelRope(
        ropes=ropes,
        layers=layers,
        model_type=model_type,
        notes=(*findings.notes, *findings.unknown),
        softmax_scale=softmax,
        query_scales=queries,
    )


def _query_scales(
    section: Section, family: Family, blocks: Mapping[str, Block], ropes: Mapping[str, RopeConfig]
) -> dict[str | None, QueryScale]:
    scales: dict[str | None, QueryScale] = {}
    if family.query is None:
        return scales
    for key, block in blocks.items():
        completed = replace(block.section, values={**filled(block), **block.section.values})
        scale = family.query(section, completed, ropes[key].scaling)
        if scale is not None:
            scales[key if family.query_layers == "with" else None] = scale
            where = "all layers" if family.query_layers == "with" else "the layers without position"
            section.findings.note(f"the query of {where} is scaled by its position (query_scale)")
    return scales


def _family(section: Section, model_type: str, strict: bool) -> Family | None:
    family = find_family(model_type)
    if family is not None:
        return family
    said = any(section.values.get(key) is not None for key in ROPE_KEYS)
    if strict or not said:
        reason = "" if said else f" and no key that tells of rotary positions ({', '.join(ROPE_KEYS[:3])})"
        section.findings.problem(f"unknown model_type {model_type!r}{reason}; give the model_type of a family like it")
        return None
    section.findings.note(
        f"unknown model_type {model_type!r}: read like Llama (pairs half a head apart); check layout and defaults"
    )
    return UNKNOWN_FAMILY
