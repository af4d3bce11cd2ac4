"""How wide a head is in towers that have their own words for it: small named rules of the family table."""

from tightrope.rope.reading.families.family import WidthRule
from tightrope.rope.reading.section import Section


def shared(width: str, default: int, *divisors: tuple[str, int]) -> WidthRule:
    """The channels under `width`, divided by each of the others: (key, default)."""

    def rule(section: Section) -> int | None:
        whole = _stated(section, width, default)
        parts = [_stated(section, key, value) for key, value in divisors]
        if whole is None or None in parts:
            return None
        for part in parts:
            whole //= part or 1
        return whole

    return rule


def _stated(section: Section, key: str, default: int) -> int | None:
    if section.find(key) is not None:
        return section.integer(key)
    section.findings.note(f"{section.where(key)} is missing; the family's default {default} is used")
    return default


EMBED = shared("embed_dim", 1280, ("num_heads", 16))
WHOLE = shared("hidden_size", 256)
MEMORY = shared(
    "memory_attention_hidden_size",
    256,
    ("memory_attention_downsample_rate", 1),
    ("memory_attention_num_attention_heads", 1),
)


def hymba(section: Section) -> int | None:
    """Hymba: kq_head_dim, where -1 stands for hidden_size // num_attention_heads."""
    own = section.integer("kq_head_dim", above=-2)
    hidden, heads = section.integer("hidden_size"), section.integer("num_attention_heads")
    if own is not None and own > 0:
        return own
    if hidden is None or heads is None:
        section.findings.problem(f"{section.where('kq_head_dim')} is missing; give it, or hidden_size and its heads")
        return None
    return hidden // heads
