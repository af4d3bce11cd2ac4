"""Which layers of a GGUF model rotate, and which of its two ropes each has."""

from dataclasses import dataclass

from tightrope.rope.reading.gguf.architectures import PATTERNS, SWITCHED, Pattern
from tightrope.rope.reading.gguf.file import GgufFile
from tightrope.rope.reading.section import Section

FULL = "full_attention"
SLIDING = "sliding_attention"


@dataclass(frozen=True)
class Kinds:
    """The layers of a model.

    Attributes:
        layers: For each layer FULL, SLIDING, or None where it has no position.
        local_base: The base of the sliding layers where the file does not state it.
    """

    layers: tuple[str | None, ...]
    local_base: float | None = None


def kinds_of(file: GgufFile, section: Section, count: int) -> Kinds:
    """Return the kind of each of `count` layers."""
    if _switched_off(file.architecture, section, count):
        return Kinds((None,) * count)
    pattern = PATTERNS.get(file.architecture)
    if pattern is not None and pattern.with_window and not section.integer("attention.sliding_window"):
        pattern = None
    attends = _attends(section, count)
    if pattern is None and section.find("rope.freq_base_swa", "rope.dimension_count_swa") is not None:
        pattern = _stated(section)
    if pattern is None:
        return Kinds(tuple(FULL if here else None for here in attends))
    slides = _slides(section, pattern, count)
    kinds = (_kind(pattern, sliding) if here else None for here, sliding in zip(attends, slides, strict=True))
    return Kinds(tuple(kinds), pattern.local_base)


def _kind(pattern: Pattern, sliding: bool) -> str | None:
    if pattern.others == "no position":
        return FULL if sliding else None
    return SLIDING if sliding else FULL


def _stated(section: Section) -> Pattern | None:
    """A rope of the sliding layers needs a statement of which layers those are."""
    if section.find("attention.sliding_window_pattern") is not None:
        return Pattern(period=1)
    section.findings.problem(
        f"{section.where('attention.sliding_window_pattern')} is required (the sliding layers have a rope of their "
        "own) and missing"
    )
    return None


def _slides(section: Section, pattern: Pattern, count: int) -> list[bool]:
    """Return, for each layer, whether it is one of the rest; the file's own pattern comes first."""
    stated = section.values.get("attention.sliding_window_pattern")
    if isinstance(stated, list):
        flags = section.integers("attention.sliding_window_pattern") or []
        if len(flags) != count:
            section.reject("attention.sliding_window_pattern", f"one flag for each of the {count} layers", stated)
            return [False] * count
        return [bool(flag) for flag in flags]
    period = section.integer("attention.sliding_window_pattern") or pattern.period
    if stated is None:
        section.findings.note(f"which layers differ is not in the file; llama.cpp's rule is used: every {period}th")
    return [index % period != (0 if pattern.first else period - 1) for index in range(count)]


def _attends(section: Section, count: int) -> list[bool]:
    """Return, for each layer, whether it attends at all: hybrids have layers without key heads."""
    interval = section.integer("full_attention_interval")
    if interval is not None:
        return [(index + 1) % interval == 0 for index in range(count)]
    if not isinstance(section.values.get("attention.head_count_kv"), list):
        section.integer("attention.head_count_kv", above=-1)  # of no effect here, but wrong where it is no number
        return [True] * count
    heads = section.integers("attention.head_count_kv") or []
    if len(heads) != count:
        section.reject("attention.head_count_kv", f"one number for each of the {count} layers", heads)
        return [True] * count
    return [number > 0 for number in heads]


def _switched_off(architecture: str, section: Section, count: int) -> bool:
    """Granite's switch; Baichuan 13B, told by its 40 layers, has ALiBi."""
    if architecture == "baichuan":
        return count == 40
    return architecture in SWITCHED and section.flag("rope.scaling.finetuned") is False
