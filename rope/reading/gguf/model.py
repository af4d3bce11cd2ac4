"""A GGUF file (llama.cpp) to one `ModelRope`."""

from dataclasses import replace
from pathlib import Path

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.mrope import MRope
from tightrope.rope.config.query_scale import QueryScale
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError, suggestion
from tightrope.rope.reading.gguf import ollama
from tightrope.rope.reading.gguf.architectures import ARCHITECTURES, REFUSED, WITHOUT
from tightrope.rope.reading.gguf.axes import fourth_axis
from tightrope.rope.reading.gguf.columns import Architecture, Pattern
from tightrope.rope.reading.gguf.file import GgufFile, open_file
from tightrope.rope.reading.gguf.layers import FULL, SLIDING, kinds_of
from tightrope.rope.reading.gguf.scaling import gain_alone, logits_factor, scaling_of
from tightrope.rope.reading.gguf.tensors import Divided
from tightrope.rope.reading.gguf.unread import unread_keys
from tightrope.rope.reading.section import MOST_LAYERS, Findings, Section
from tightrope.rope.scaling import Scaling
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.yarn import Yarn


def read_gguf(path: Path, strict: bool = False) -> ModelRope:
    """Return the ropes of the model in a GGUF file, as its stored weights need them.

    Args:
        path: The file; of a model in parts, the first.
        strict: Raise for keys that sound like position and that llama.cpp does not read, instead of noting them.

    Raises:
        RopeConfigError: It is no GGUF file, is damaged, lacks a key, or its architecture is unknown.
    """
    try:
        return model_of(open_file(path), strict)
    except RopeConfigError as error:
        raise RopeConfigError(error.problems, source=str(path)) from error


def model_of(file: GgufFile, strict: bool = False) -> ModelRope:
    """Return the ropes of a model by its header; see `read_gguf`."""
    findings = Findings()
    stated = Section(file.values, findings, f"{file.architecture}.")
    name = ollama.ARCHITECTURES.get(file.architecture, file.architecture)
    section = ollama.in_usual_names(name, stated)
    model = _model(GgufFile(name, file.values, file.divisors), section)
    found = unread_keys(stated)
    if strict:
        findings.problems.extend(found)
    if findings.problems or model is None:
        raise RopeConfigError(dict.fromkeys(findings.problems))
    return replace(model, notes=(*findings.notes, *found))


def _model(file: GgufFile, section: Section) -> ModelRope | None:
    count = section.integer("block_count", at_most=MOST_LAYERS)
    if count is None:
        if section.get("block_count") is None:
            section.findings.problem(f"{section.where('block_count')} is required (the number of layers) and missing")
        return None
    row = _row(file.architecture)
    kinds = None if row is None else kinds_of(row, section, count)
    if row is None or kinds is None or not any(kinds.layers):
        section.findings.note(f"no rotary positions: architecture {file.architecture!r} has none in this file")
        return _finished(file, row, section, {}, (None,) * count)
    ropes = _ropes(file, row, section, kinds.layers, kinds.pattern)
    if ropes is None or section.findings.problems:
        return None
    if len(ropes) == 1:
        (rope,) = ropes.values()
        return _finished(
            file, row, section, {"default": rope}, tuple("default" if key else None for key in kinds.layers)
        )
    return _finished(file, row, section, ropes, kinds.layers)


def _row(name: str) -> Architecture | None:
    """Return what is known of an architecture; None where it has no rotary positions."""
    if name in REFUSED:
        raise RopeConfigError(f"architecture {name!r} cannot be read from GGUF: {REFUSED[name]}; give its config.json")
    if name not in ARCHITECTURES and name not in WITHOUT:
        raise RopeConfigError(
            f"unknown architecture {name!r}: nothing says how its stored weights pair"
            f"{suggestion(name, (*ARCHITECTURES, *WITHOUT))}; give its config.json"
        )
    return ARCHITECTURES.get(name)


def _ropes(
    file: GgufFile, row: Architecture, section: Section, layers: tuple[str | None, ...], pattern: Pattern | None
) -> dict[str, RopeConfig] | None:
    """Return the rope of each kind of layer; one where both are alike."""
    full = _rope(file, row, section) if FULL in layers or pattern is None else None
    sliding = None if pattern is None or SLIDING not in layers else _rope(file, row, section, pattern)
    if full is None and sliding is None:
        return None
    found = {key: rope for key, rope in ((FULL, full), (SLIDING, sliding)) if rope is not None}
    return {FULL: full} if full is not None and full == sliding else found


def _rope(file: GgufFile, row: Architecture, section: Section, sliding: Pattern | None = None) -> RopeConfig | None:
    """Return the rope of the layers that do not slide, or, with the pattern, that of those that do."""
    own = "_swa" if sliding is not None and sliding.own_keys else ""
    head_dim = _head_dim(row, section, own)
    if row.fixed_base is not None and head_dim is not None:
        return RopeConfig(
            head_dim=head_dim, rotary_dim=head_dim, base=row.fixed_base, layout=row.layout,
            max_position_embeddings=section.integer("context_length"),
        )  # fmt: skip
    rotary_dim = section.integer(f"rope.dimension_count{own}", "rope.dimension_count") or head_dim
    base = _base(section, own, sliding)
    if head_dim is None or rotary_dim is None:
        return None
    if sliding is None:
        rotary_dim = int(rotary_dim * row.full_fraction)
    sections = _sections(row, section)
    mrope = MRope(sections=sections, order=row.order) if sections else None
    plain = RopeConfig(
        head_dim=head_dim, rotary_dim=rotary_dim, base=base, layout="half" if mrope else row.layout, side=row.side,
        max_position_embeddings=section.integer("context_length"), mrope=mrope,
    )  # fmt: skip
    if sliding is None or sliding.scaled:
        scaling: Scaling = scaling_of(Divided(section, file.divisors, row), plain)
    else:
        scaling = gain_alone(section, plain) if sliding.gain else Default()
    return plain.replace(scaling=scaling)


def _base(section: Section, own: str, sliding: Pattern | None) -> float:
    stated = section.number(f"rope.freq_base{own}", above=0) if own else None
    if stated is None and own and sliding is not None:
        stated = sliding.local_base
    base = section.number("rope.freq_base", above=0) if stated is None else stated
    if base is None:
        section.findings.note(f"no {section.where('rope.freq_base')}; llama.cpp's default 10000 is used")
    return 10_000.0 if base is None else float(base)


def _head_dim(row: Architecture, section: Section, own: str) -> int | None:
    latent = None
    if row.side == "tail":  # elsewhere llama.cpp does not ask for the width of latent attention
        latent = section.integer(f"attention.key_length_mla{own}", "attention.key_length_mla")
    stated = latent or section.integer(f"attention.key_length{own}", "attention.key_length")
    if stated is not None:
        return stated
    width, heads = section.integer("embedding_length"), _heads(section)
    if width is None or heads is None:
        section.findings.problem(
            f"{section.where('attention.key_length')}, or embedding_length and attention.head_count, is required "
            "(the width of a head) and missing"
        )
        return None
    return width // heads


def _heads(section: Section) -> int | None:
    """Return the number of query heads; where layers differ, the greatest."""
    if isinstance(section.get("attention.head_count"), list):
        return max(section.integers("attention.head_count") or [0]) or None
    return section.integer("attention.head_count")


def _sections(row: Architecture, section: Section) -> tuple[int, ...] | None:
    """Return the sections up to the last axis that has pairs; None where there is one axis."""
    if row.sections == "none":
        return None
    found = section.integers("rope.dimension_sections")
    if found is None and row.sections == "must" and section.get("rope.dimension_sections") is None:
        section.findings.problem(
            f"{section.where('rope.dimension_sections')} is required (the pairs of each position axis) and missing; "
            "llama.cpp refuses such a file, convert the model again"
        )
    sections = list(found or [])
    while sections and sections[-1] == 0:
        sections.pop()
    return tuple(sections) if len(sections) > 1 else None


def _finished(
    file: GgufFile,
    row: Architecture | None,
    section: Section,
    ropes: dict[str, RopeConfig],
    layers: tuple[str | None, ...],
) -> ModelRope | None:
    softmax = logits_factor(row, section) if ropes and row is not None else 1.0
    if softmax != 1:
        section.findings.note(f"llama.cpp multiplies the attention logits by {softmax:.6g} (softmax_scale)")
    for rope in list(ropes.values())[:1]:
        pairs = "neighbouring channels" if rope.layout == "interleaved" else "channels half a rotation apart"
        section.findings.note(f"GGUF, architecture {file.architecture!r}: the weights as stored pair {pairs}")
    if row is not None:
        _note_row(row, ropes, section)
    _note_fourth_axis(ropes, section)
    queries = _query_scales(row, section, layers) if ropes and row is not None else {}
    if section.findings.problems:
        return None
    return ModelRope(
        ropes=ropes, layers=layers, model_type=file.architecture, softmax_scale=softmax, query_scales=queries,
        published_layout="half" if row is not None and row.permuted else None,
    )  # fmt: skip


def _note_row(row: Architecture, ropes: dict[str, RopeConfig], section: Section) -> None:
    has_yarn = any(isinstance(rope.scaling, Yarn) for rope in ropes.values())
    for text in (row.note if ropes else "", row.yarn_note if has_yarn else ""):
        if text:
            section.findings.note(text)


def _note_fourth_axis(ropes: dict[str, RopeConfig], section: Section) -> None:
    for rope in ropes.values():
        left = fourth_axis(rope)
        if left:
            section.findings.note(
                f"llama.cpp gives pairs {', '.join(map(str, left))} to a fourth position axis, which is 0 in text, and "
                "so does not rotate them; the model's own code gives them to the first axis, and so does Tightrope"
            )


def _query_scales(row: Architecture, section: Section, layers: tuple[str | None, ...]) -> dict[str | None, QueryScale]:
    """Return the temperature of the layers that have one: constants of llama.cpp, or what the file states."""
    rule = row.temperature
    if rule is None:
        return {}
    beta, length = rule.beta, rule.length
    if rule.stated:
        beta = section.number("attention.temperature_scale") or beta
        length = section.integer("attention.temperature_length") or length
        length = length or section.integer("rope.scaling.original_context_length")
    if not beta:
        return {}
    if length is None:
        section.findings.problem(
            f"{section.where('attention.temperature_length')}, or rope.scaling.original_context_length, is required "
            "beside attention.temperature_scale and missing"
        )
        return {}
    scale = QueryScale(beta=float(beta), length=length, shift=rule.shift)
    where = "the layers without position" if rule.unrotated else "all layers"
    section.findings.note(f"the query of {where} is scaled by its position (query_scale)")
    return {None: scale} if rule.unrotated else dict.fromkeys(layers, scale)
