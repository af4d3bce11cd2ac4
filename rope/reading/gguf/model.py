"""A GGUF file (llama.cpp) to one `ModelRope`."""

from pathlib import Path

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.mrope import MRope
from tightrope.rope.config.query_scale import QueryScale
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.reading.gguf.architectures import PAIRINGS, PERMUTED, REFUSED, SOFTMAX, TAIL, WITHOUT
from tightrope.rope.reading.gguf.file import GgufFile, open_file
from tightrope.rope.reading.gguf.layers import FULL, SLIDING, Kinds, kinds_of
from tightrope.rope.reading.gguf.scaling import Divided, scaling_of
from tightrope.rope.reading.section import MOST_LAYERS, Findings, Section
from tightrope.rope.scaling import Scaling
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.yarn import Yarn, attention_gain


def read_gguf(path: Path) -> ModelRope:
    """Return the ropes of the model in a GGUF file, as its stored weights need them.

    Raises:
        RopeConfigError: It is no GGUF file, is damaged, lacks a key, or its architecture is unknown.
    """
    try:
        file = open_file(path)
        findings = Findings()
        section = Section(file.values, findings, f"{file.architecture}.")
        model = _model(file, section)
    except RopeConfigError as error:
        raise RopeConfigError(error.problems, source=str(path)) from error
    if findings.problems or model is None:
        raise RopeConfigError(dict.fromkeys(findings.problems), source=str(path))
    return model


def _model(file: GgufFile, section: Section) -> ModelRope | None:
    count = section.integer("block_count", at_most=MOST_LAYERS)
    if count is None:
        if section.find("block_count") is None:
            section.findings.problem(f"{section.where('block_count')} is required (the number of layers) and missing")
        return None
    _check_architecture(file.architecture)
    kinds = kinds_of(file, section, count)
    if file.architecture in WITHOUT or not any(kinds.layers):
        section.findings.note(f"no rotary positions: architecture {file.architecture!r} has none in this file")
        return _finished(file, section, {}, (None,) * count)
    full, sliding = _rope(file, section, ""), None
    if SLIDING in kinds.layers:
        sliding = _rope(file, section, "_swa", kinds)
    if full is None or section.findings.problems:
        return None
    if sliding is None or sliding == full:
        return _finished(file, section, {"default": full}, tuple("default" if key else None for key in kinds.layers))
    return _finished(file, section, {FULL: full, SLIDING: sliding}, kinds.layers)


def _check_architecture(name: str) -> None:
    if name in REFUSED:
        raise RopeConfigError(f"architecture {name!r} cannot be read from GGUF: {REFUSED[name]}; give its config.json")
    if name not in PAIRINGS and name not in WITHOUT:
        raise RopeConfigError(
            f"unknown architecture {name!r}: nothing says how its stored weights pair; give its config.json"
        )


def _rope(file: GgufFile, section: Section, suffix: str, kinds: Kinds | None = None) -> RopeConfig | None:
    """Return the rope of the full layers, or (suffix _swa) that of the sliding ones, which is never scaled."""
    head_dim = _head_dim(section, suffix)
    rotary_dim = section.integer(f"rope.dimension_count{suffix}", "rope.dimension_count") or head_dim
    base = section.number(f"rope.freq_base{suffix}", above=0)
    if base is None and kinds is not None:
        base = kinds.local_base
    base = section.number("rope.freq_base", above=0) if base is None else base
    if base is None:
        base = 10_000.0
        section.findings.note(f"no {section.where('rope.freq_base')}; llama.cpp's default 10000 is used")
    if head_dim is None or rotary_dim is None:
        return None
    pairing, sections = PAIRINGS[file.architecture], _sections(section)
    mrope = MRope(sections=sections, order=pairing.order) if sections else None
    plain = RopeConfig(
        head_dim=head_dim, rotary_dim=rotary_dim, base=float(base), layout="half" if mrope else pairing.layout,
        side="tail" if file.architecture in TAIL else "head", max_position_embeddings=section.integer("context_length"),
        mrope=mrope,
    )  # fmt: skip
    scaling: Scaling = Default() if suffix else scaling_of(Divided(section, file.divisors, file.architecture), plain)
    return plain.replace(scaling=scaling)


def _head_dim(section: Section, suffix: str) -> int | None:
    latent = section.integer("attention.key_length_mla")
    stated = latent or section.integer(f"attention.key_length{suffix}", "attention.key_length")
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
    if isinstance(section.values.get("attention.head_count"), list):
        return max(section.integers("attention.head_count") or [0]) or None
    return section.integer("attention.head_count")


def _sections(section: Section) -> tuple[int, ...] | None:
    """Return the sections up to the last axis that has pairs; None where there is one axis."""
    found = section.integers("rope.dimension_sections")
    sections = list(found or [])
    while sections and sections[-1] == 0:
        sections.pop()
    return tuple(sections) if len(sections) > 1 else None


def _finished(
    file: GgufFile, section: Section, ropes: dict[str, RopeConfig], layers: tuple[str | None, ...]
) -> ModelRope | None:
    softmax = max((_softmax_scale(file, rope) for rope in ropes.values()), default=1.0)
    for rope in list(ropes.values())[:1]:
        pairs = "neighbouring channels" if rope.layout == "interleaved" else "channels half a rotation apart"
        section.findings.note(f"GGUF, architecture {file.architecture!r}: the weights as stored pair {pairs}")
    queries = _query_scales(file, section, layers) if ropes else {}
    if section.findings.problems:
        return None
    return ModelRope(
        ropes=ropes, layers=layers, model_type=file.architecture, notes=tuple(section.findings.notes),
        softmax_scale=softmax, query_scales=queries,
        published_layout="half" if file.architecture in PERMUTED else None,
    )  # fmt: skip


def _softmax_scale(file: GgufFile, rope: RopeConfig) -> float:
    if file.architecture not in SOFTMAX or not isinstance(rope.scaling, Yarn) or not rope.scaling.mscale_all_dim:
        return 1.0
    return attention_gain(rope.scaling.resolved_factor(rope), rope.scaling.mscale_all_dim) ** 2


def _query_scales(file: GgufFile, section: Section, layers: tuple[str | None, ...]) -> dict[str | None, QueryScale]:
    """Llama 4: in its layers without position, with constants of llama.cpp; others: what the file states."""
    if file.architecture == "llama4":
        section.findings.note("the query of the layers without position is scaled by its position (query_scale)")
        return {None: QueryScale(beta=0.1, length=8192, shift=1)}
    beta, length = section.number("attention.temperature_scale"), section.integer("attention.temperature_length")
    if not beta or not length:
        return {}
    section.findings.note("the query of all layers is scaled by its position (query_scale)")
    return dict.fromkeys(layers, QueryScale(beta=beta, length=length))
