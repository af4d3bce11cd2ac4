"""Which layers of a GGUF model rotate, and which of its two ropes each has."""

from dataclasses import dataclass

from tightrope.rope.reading.gguf.columns import Architecture, Pattern
from tightrope.rope.reading.section import Section

FULL = "full_attention"
SLIDING = "sliding_attention"


@dataclass(frozen=True)
class Kinds:
    """The layers of a model.

    Attributes:
        layers: For each layer FULL, SLIDING, or None where it has no position.
        pattern: What is known of the sliding layers.
    """

    layers: tuple[str | None, ...]
    pattern: Pattern | None = None


def kinds_of(row: Architecture, section: Section, count: int) -> Kinds:
    """Return the kind of each of `count` layers."""
    if _switched_off(row, section, count):
        return Kinds((None,) * count)
    pattern = _pattern(row, section, count)
    attends = _attends(row, section, count)
    slides = [False] * count if pattern is None else _slides(section, pattern, count)
    placed = _placed(row, section, count)
    kinds = (
        _kind(pattern, sliding) if here and rotates else None
        for here, rotates, sliding in zip(attends, placed, slides, strict=True)
    )
    return Kinds(tuple(kinds), pattern)


def _kind(pattern: Pattern | None, sliding: bool) -> str | None:
    if pattern is None:
        return FULL
    if pattern.others == "no position":
        return SLIDING if sliding else None
    return SLIDING if sliding else FULL


def _pattern(row: Architecture, section: Section, count: int) -> Pattern | None:
    """Return the architecture's pattern where this model has it."""
    pattern = row.pattern
    if pattern is None or (pattern.at_layers is not None and pattern.at_layers != count):
        return None
    window = section.integer("attention.sliding_window", above=-1)
    if pattern.with_window and not window:
        return None
    if pattern.period is None and section.get("attention.sliding_window_pattern") is None:
        section.findings.problem(
            f"{section.where('attention.sliding_window_pattern')} is required (which layers slide) and missing"
        )
        return None
    return pattern


def _slides(section: Section, pattern: Pattern, count: int) -> list[bool]:
    """Return, for each layer, whether it is one of the rest; the file's own pattern comes first."""
    stated = section.get("attention.sliding_window_pattern") if pattern.stated else None
    if isinstance(stated, list):
        return _flags(section, "attention.sliding_window_pattern", count)
    period = (section.integer("attention.sliding_window_pattern") if pattern.stated else None) or pattern.period or 1
    if stated is None:
        section.findings.note(f"which layers differ is not in the file; llama.cpp's rule is used: every {period}th")
    return [index % period != (0 if pattern.first else period - 1) for index in range(count)]


def _flags(section: Section, key: str, count: int) -> list[bool]:
    flags = section.integers(key) or []
    if len(flags) != count:
        section.reject(key, f"one flag for each of the {count} layers", flags)
        return [False] * count
    return [bool(flag) for flag in flags]


def _placed(row: Architecture, section: Section, count: int) -> list[bool]:
    """Return, for each layer, whether it has a position, where that is another rule than which layers slide."""
    if row.rope_pattern and section.get("attention.rope_pattern") is not None:
        return _flags(section, "attention.rope_pattern", count)
    if row.no_position is None:
        return [True] * count
    period, which = row.no_position
    if which == "first" and not section.get("attention.sliding_window"):
        return [True] * count
    return [index % period != (0 if which == "first" else period - 1) for index in range(count)]


def _attends(row: Architecture, section: Section, count: int) -> list[bool]:
    """Return, for each layer, whether it attends at all: hybrids have layers without key heads."""
    if row.interval is not None:
        return _between_recurrent(row.interval, section, count)
    if not isinstance(section.get("attention.head_count_kv"), list):
        section.integer("attention.head_count_kv", above=-1)  # of no effect here, but wrong where it is no number
        return [True] * count
    heads = section.integers("attention.head_count_kv") or []
    if len(heads) != count:
        section.reject("attention.head_count_kv", f"one number for each of the {count} layers", heads)
        return [True] * count
    return [number > 0 for number in heads]


def _between_recurrent(interval: int, section: Section, count: int) -> list[bool]:
    """Return which layers attend between recurrent ones: as the file lists them, else the last of each interval."""
    if section.get("attention.recurrent_layers") is not None:
        return [not recurrent for recurrent in _flags(section, "attention.recurrent_layers", count)]
    period = section.integer("full_attention_interval") or interval
    return [(index + 1) % period == 0 for index in range(count)]


def _switched_off(row: Architecture, section: Section, count: int) -> bool:
    """Granite's switch; of Baichuan the 7B alone, told by its 32 layers, rotates."""
    if row.rotary_layers is not None:
        return count != row.rotary_layers
    return row.switched and section.flag("rope.scaling.finetuned") is False
