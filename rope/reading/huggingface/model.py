"""Any configuration of Hugging Face's kind, in any spelling, to one `ModelRope`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.query_scale import QueryScale
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import suggestion
from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.families.rules.attention_scale import softmax_scale
from tightrope.rope.reading.huggingface.blocks import Block, filled, note_unused, read_blocks
from tightrope.rope.reading.huggingface.code import read_family
from tightrope.rope.reading.huggingface.layers import assign, layer_types, sheet_of
from tightrope.rope.reading.huggingface.rope import read_rope
from tightrope.rope.reading.section import Section, shortened

# Where a model of several parts keeps its language model.
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


def text_key(config: Mapping[str, object]) -> str | None:
    """Return the key that holds the language model of a model of several parts, None where there is none."""
    return next((key for key in TEXT_KEYS if isinstance(config.get(key), Mapping)), None)


def text_parts(section: Section) -> list[Section]:
    """Return the configurations that lead to the language model: the whole file first, the innermost part last."""
    key = text_key(section.values)
    inner = None if key is None else section.inner(key)
    if inner is None:
        return [section]
    if inner.get("model_type") is None:
        inner = Section({**inner.values, "model_type": section.get("model_type")}, inner.findings, inner.path)
    return [section, *text_parts(inner)]


def read_section(section: Section, strict: bool) -> ModelRope | None:
    """Return the ropes of one configuration, None (and problems) where they cannot be right."""
    findings = section.findings
    model_type = section.text("model_type") or ""
    code = read_family(section, model_type, strict)
    if code is None:
        return None
    model_type, family = code
    refusal = family.refused(section) if family.refused else None
    if refusal is not None:
        findings.problem(f"model_type {model_type!r} cannot be expressed: {refusal}")
        return None
    types = layer_types(section, family)
    reason = family.without(section) if family.without else None
    if reason is not None:
        findings.note(f"no rotary positions: {reason}")
        model = ModelRope(ropes={}, layers=(None,) * len(types), model_type=model_type)
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
        if section.get(key) is not None:
            findings.note(f"{section.where(key)} {shortened(section.get(key))} has no effect in this family")
    if family.note:
        findings.note(family.note)
    softmax = softmax_scale(ropes.values()) if family.softmax else 1.0
    if softmax != 1:
        findings.note(f"mscale_all_dim also multiplies the attention logits, by {softmax:.6g} (softmax_scale)")
    queries = _query_scales(section, family, stated, ropes)
    for block in stated.values():
        note_unused(block)
    _tell_layerless(stated, layers, family)
    return ModelRope(
        ropes=ropes,
        layers=layers,
        model_type=model_type,
        softmax_scale=softmax,
        query_scales=queries,
        published_layout=family.published_layout,
    )


def _tell_layerless(blocks: Mapping[str, Block], layers: Sequence[str | None], family: Family) -> None:
    """Record the ropes that a file names and that no layer has, where the family has none of that name."""
    own = {*family.ropes, *(name for rope in family.ropes.values() if rope for name in rope.layer_types)}
    for key, block in blocks.items():
        if layers and key != "default" and key not in {*own, *layers}:
            hint = suggestion(key, {*own, *filter(None, layers)})
            block.section.findings.unread.append(f"{shortened(block.place, plain=True)} belongs to no layer{hint}")


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
