"""How wide a head is and how much of it is rotated."""

from collections.abc import Iterable
from typing import NamedTuple

from tightrope.rope.config.terms import Layout, Side
from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.huggingface.blocks import Block, filled
from tightrope.rope.reading.section import Section

# The same thing in other words, most usual first.
HIDDEN_KEYS = ("hidden_size", "n_embd", "d_model", "dim", "model_dim", "hidden_dim", "n_embed")
HEADS_KEYS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_num_attention_heads")
LAYERS_KEYS = (
    "num_hidden_layers",
    "n_layer",
    "n_layers",
    "num_layers",
    "num_transformer_layers",
    "encoder_num_hidden_layers",
    "depth",
    "memory_attention_num_layers",
)
LENGTH_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "seq_length",
    "max_seq_len",
    "max_sequence_length",
    "model_max_length",
    "max_context_length",
    "n_ctx",
)


class Geometry(NamedTuple):
    """The widths of one rope, and where the rotated channels are."""

    head_dim: int
    rotary_dim: int
    side: Side
    layout: Layout
    frequency_dim: int | None = None


def read_layout(section: Section, family: Family) -> Layout:
    """Return which channels pair up."""
    stated = None if family.layout_key is None else section.flag(family.layout_key)
    if stated is None:
        return family.layout
    return "interleaved" if stated else "half"


def read_geometry(section: Section, block: Block, family: Family, type_name: str) -> Geometry | None:
    """Return the widths, None (and a problem) where the configuration does not give them."""
    layout = read_layout(section, family)
    if family.mla is not None:
        return _mla(section, family.mla, layout)
    head_dim = read_head_dim(section, family)
    if head_dim is None:
        return None
    if family.axes is not None:
        return _axial(section, family.axes.count, head_dim, layout)
    width = head_dim if type_name == "proportional" else _rotated(section, block, family, head_dim)
    if width is None:
        return None
    if width % 2 and width < head_dim and family.rounds_up:
        section.findings.note(f"the rotated width {width} is odd; as in transformers, {width + 1} channels rotate")
        return Geometry(head_dim, width + 1, family.side, layout, width)
    return Geometry(head_dim, width, family.side, layout)


def _mla(section: Section, defaults: tuple[int, int], layout: Layout) -> Geometry | None:
    """MLA: a query is [nope | rope], the shared key only the rope part."""
    nope = _or_default(section, "qk_nope_head_dim", defaults[0], above=-1)
    rope = _or_default(section, "qk_rope_head_dim", defaults[1])
    if nope is None or rope is None:
        return None
    stated = section.get("head_dim")
    if stated is not None and stated not in (rope, nope + rope):
        section.findings.note(
            f"{section.where('head_dim')} {stated!r} has no effect: a head is {nope} + {rope} wide (MLA)"
        )
    return Geometry(nope + rope, rope, "tail", layout)


def _axial(section: Section, axes: int, head_dim: int, layout: Layout) -> Geometry | None:
    """Axes share the pairs equally; a rest that cannot be shared does not rotate (with two axes there must be none)."""
    width = head_dim - head_dim % (2 * axes)
    if not width or (axes == 2 and width != head_dim):
        section.findings.problem(
            f"a head shared by {axes} axes must have a multiple of {2 * axes} channels, got {head_dim}"
        )
        return None
    return Geometry(head_dim, width, "head", layout)


def _or_default(section: Section, key: str, default: int, above: int = 0) -> int | None:
    if section.is_null(key):
        section.reject(key, f"a whole number > {above}", None)
        return None
    if section.get(key) is not None:
        return section.integer(key, above=above)
    section.findings.note(f"{section.where(key)} is missing; the family's default {default} is used")
    return default


def read_head_dim(section: Section, family: Family) -> int | None:
    """Return the width of a query head."""
    stated = section.find(*family.head_dim_keys)
    if stated is not None:
        section.translated(stated[0], "head_dim")
        return section.integer(*family.head_dim_keys)
    if family.width is not None:
        return family.width(section)
    hidden = with_default(section, HIDDEN_KEYS, family.shape[0])
    heads = with_default(section, HEADS_KEYS, family.shape[1])
    # An explicit null asks for the quotient, a missing key for the class's own default.
    asked = section.is_null("head_dim") and hidden is not None and heads is not None
    if family.head_dim is not None and not asked:
        section.findings.note(f"{section.where('head_dim')} is missing; the family's default {family.head_dim} is used")
        return family.head_dim
    if hidden is None or heads is None:
        _report_missing(section, [HIDDEN_KEYS] * (hidden is None) + [HEADS_KEYS] * (heads is None))
        return None
    hidden *= family.hidden_factor
    if hidden % heads:
        section.findings.note(f"hidden_size {hidden} is no multiple of {heads} heads; a head is {hidden // heads} wide")
    return hidden // heads


def _report_missing(section: Section, missing: Iterable[tuple[str, ...]]) -> None:
    for keys in missing:
        if section.find(*keys) is None:  # otherwise its value was wrong, and that is reported
            section.findings.problem(f"{section.where(keys[0])} is missing; give it, or head_dim")


def with_default(section: Section, keys: tuple[str, ...], default: int | None) -> int | None:
    """Return the value, or the class's default inside a sub-configuration, which is saved without such values."""
    if section.find(*keys) is not None:
        return section.integer(*keys)
    if default is not None and section.path:
        section.findings.note(f"{section.where(keys[0])} is missing; the family's default {default} is used")
        return default
    return None


def _rotated(section: Section, block: Block, family: Family, head_dim: int) -> int | None:
    """Return how many channels rotate, before rounding up."""
    if section.find(*family.rotary_dim_keys) is not None:
        return section.integer(*family.rotary_dim_keys)
    if family.rotary_dim is not None:
        section.findings.note(f"no {family.rotary_dim_keys[0]}; the family's default {family.rotary_dim} is used")
        return family.rotary_dim
    inside = block.section.find("partial_rotary_factor") is not None
    owner, keys = (block.section, ("partial_rotary_factor",)) if inside else (section, family.partial_keys)
    found = owner.find(*keys)
    if found is not None:
        owner.translated(found[0], "partial_rotary_factor")
        share = owner.number(*keys, above=0, at_most=1)
        return None if share is None else _share_of(share, owner, found[0], family, head_dim)
    default = filled(block).get("partial_rotary_factor", block.defaults.partial)
    share = family.partial if default is None else float(str(default))
    if share is None or share == 1:
        return head_dim
    section.findings.note(f"no partial_rotary_factor for {block.key}; the family's default {share:g} is used")
    return int(head_dim * share)


def _share_of(share: float, owner: Section, key: str, family: Family, head_dim: int) -> int:
    if family.partial is not None:
        return int(head_dim * share)
    if share != 1:
        owner.findings.note(f"{owner.where(key)} {share:g} has no effect: this family turns whole heads")
    return head_dim
