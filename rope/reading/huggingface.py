"""Any configuration of Hugging Face's kind, in any spelling, to one `ModelRope`."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tightrope.rope.config import ModelRope, RopeConfig
from tightrope.rope.errors import RopeConfigError, RopeWarning
from tightrope.rope.query_scale import QueryScale
from tightrope.rope.reading.assign import assign, layer_types, sheet_of
from tightrope.rope.reading.blocks import Block, filled, read_blocks
from tightrope.rope.reading.families import UNKNOWN_FAMILY, find_family
from tightrope.rope.reading.family import Family
from tightrope.rope.reading.gguf import read_gguf
from tightrope.rope.reading.native import in_usual_words, is_native
from tightrope.rope.reading.ropes import read_rope
from tightrope.rope.reading.scales import softmax_scale
from tightrope.rope.reading.sheet import Findings, Sheet, shortened
from tightrope.rope.reading.source import gguf_path, load
from tightrope.rope.reading.towers import Tower, bare_tower, tower_part
from tightrope.rope.rules import one_of, require

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


def read(source: object, strict: bool = False, *, tower: Tower | None = None) -> ModelRope:
    """Return the ropes of a model, layer by layer.

    Args:
        source: The path of a config.json or of its folder, a configuration as a dict, or a transformers configuration.
            Both spellings are read: rope_theta with rope_scaling, and rope_parameters, flat or per layer type; also
            the params.json of Meta's and Mistral's own checkpoints, a GGUF file (`.gguf`), and `"org/name"`: a model
            on the Hugging Face hub, where there is no such path (with the extra `hub`).
        strict: Raise for unknown keys in a rope block and for an unknown model_type, instead of warning and noting.
        tower: Read the model's tower of pictures (`"vision"`) or of sound (`"audio"`), not the part that writes text. A
            tower's own configuration needs no such word.

    Raises:
        RopeConfigError: with every problem of the configuration, each with its key path, value and remedy.

    Warns:
        RopeWarning: A rope block has a key that no rope type knows.
    """
    require(one_of("strict", strict, (True, False)))
    gguf = gguf_path(source)
    if gguf is not None and tower is None:
        return read_gguf(gguf)
    if gguf is not None:
        raise RopeConfigError("tower needs a config.json; a GGUF file is read for its text", source=str(gguf))
    config, name = load(source)
    findings = Findings()
    part = _part(Sheet(config, findings), tower)
    model = None if part is None else _read_sheet(part, findings, strict)
    if strict or findings.problems:  # what is missing may be there under a misspelt name
        findings.problems.extend(findings.unknown)
    if findings.problems or model is None:
        raise RopeConfigError(dict.fromkeys(findings.problems), source=name)
    for text in findings.unknown:
        warnings.warn(f"{name}: {text}" if name else text, RopeWarning, stacklevel=2)
    return model


def _part(sheet: Sheet, tower: Tower | None) -> Sheet | None:
    """Return the part of a model that is meant, in the usual words; None, and a problem, where there is none."""
    if tower is not None:
        return tower_part(sheet, tower)
    if is_native(sheet.values):
        return in_usual_words(sheet)
    return bare_tower(sheet) or _text_part(sheet)


def _text_part(sheet: Sheet) -> Sheet:
    """Return the innermost configuration of the part that writes text."""
    for key in TEXT_KEYS:
        inner = sheet.inner(key) if isinstance(sheet.values.get(key), Mapping) else None
        if inner is not None:
            if inner.values.get("model_type") is None:
                values = {**inner.values, "model_type": sheet.values.get("model_type")}
                inner = Sheet(values, inner.findings, inner.path)
            return _text_part(inner)
    return sheet


def _read_sheet(sheet: Sheet, findings: Findings, strict: bool) -> ModelRope | None:
    model_type = sheet.text("model_type") or ""
    family = _family(sheet, model_type, strict)
    if family is None:
        return None
    refusal = family.refused(sheet) if family.refused else None
    if refusal is not None:
        findings.problem(f"model_type {model_type!r} cannot be expressed: {refusal}")
        return None
    types = layer_types(sheet, family)
    reason = family.without(sheet) if family.without else None
    if reason is not None:
        findings.note(f"no rotary positions: {reason}")
        model = ModelRope(ropes={}, layers=(None,) * len(types), model_type=model_type, notes=tuple(findings.notes))
        return None if findings.problems else model
    if family.rewrite is not None:
        sheet, types = family.rewrite(sheet, types)
    return _model(sheet, family, types, model_type)


def _model(sheet: Sheet, family: Family, types: Sequence[str], model_type: str) -> ModelRope | None:
    findings = sheet.findings
    blocks = read_blocks(sheet, family)
    stated = {key: block for key, block in blocks.items() if block is not None}
    read_ropes = {
        key: read_rope(sheet_of(sheet, block, family, types, blocks), block, family) for key, block in stated.items()
    }
    layers = assign(sheet, family, types, blocks)
    ropes = {key: rope for key, rope in read_ropes.items() if rope is not None}
    if findings.problems or len(ropes) < len(stated):
        return None
    for key in family.decoys:
        if sheet.values.get(key) is not None:
            findings.note(f"{sheet.where(key)} {shortened(sheet.values[key])} has no effect in this family")
    if family.note:
        findings.note(family.note)
    softmax = max((softmax_scale(rope, family) for rope in ropes.values()), default=1.0)
    if softmax != 1:
        findings.note(f"mscale_all_dim also multiplies the attention logits, by {softmax:.6g} (softmax_scale)")
    queries = _query_scales(sheet, family, stated, ropes)
    return ModelRope(
        ropes=ropes,
        layers=layers,
        model_type=model_type,
        notes=(*findings.notes, *findings.unknown),
        softmax_scale=softmax,
        query_scales=queries,
    )


def _query_scales(
    sheet: Sheet, family: Family, blocks: Mapping[str, Block], ropes: Mapping[str, RopeConfig]
) -> dict[str | None, QueryScale]:
    scales: dict[str | None, QueryScale] = {}
    if family.query is None:
        return scales
    for key, block in blocks.items():
        completed = replace(block.sheet, values={**filled(block), **block.sheet.values})
        scale = family.query(sheet, completed, ropes[key].scaling)
        if scale is not None:
            scales[key if family.query_layers == "with" else None] = scale
            where = "all layers" if family.query_layers == "with" else "the layers without position"
            sheet.findings.note(f"the query of {where} is scaled by its position (query_scale)")
    return scales


def _family(sheet: Sheet, model_type: str, strict: bool) -> Family | None:
    family = find_family(model_type)
    if family is not None:
        return family
    said = any(sheet.values.get(key) is not None for key in ROPE_KEYS)
    if strict or not said:
        reason = "" if said else f" and no key that tells of rotary positions ({', '.join(ROPE_KEYS[:3])})"
        sheet.findings.problem(f"unknown model_type {model_type!r}{reason}; give the model_type of a family like it")
        return None
    sheet.findings.note(
        f"unknown model_type {model_type!r}: read like Llama (pairs half a head apart); check layout and defaults"
    )
    return UNKNOWN_FAMILY
