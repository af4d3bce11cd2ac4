"""How wide a head is and how much of it is rotated."""

from collections.abc import Iterable
from typing import NamedTuple

from tightrope.rope.config import Layout, Side
from tightrope.rope.reading.blocks import Block
from tightrope.rope.reading.family import Family
from tightrope.rope.reading.sheet import Sheet

# The same thing in other words, most usual first.
HIDDEN_KEYS = ("hidden_size", "n_embd", "d_model", "dim", "model_dim")
HEADS_KEYS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
LAYERS_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
LENGTH_KEYS = ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len", "model_max_length", "n_ctx")


class Geometry(NamedTuple):
    """The widths of one rope, and where the rotated channels are."""

    head_dim: int
    rotary_dim: int
    side: Side
    layout: Layout
    frequency_dim: int | None = None


def read_layout(sheet: Sheet, family: Family) -> Layout:
    """Return which channels pair up."""
    if family.layout_key is None:
        return family.layout
    return "half" if sheet.flag(family.layout_key) is False else family.layout


def read_geometry(sheet: Sheet, block: Block, family: Family, type_name: str) -> Geometry | None:
    """Return the widths, None (and a problem) where the configuration does not give them."""
    layout = read_layout(sheet, family)
    if family.mla is not None:
        return _mla(sheet, family, layout)
    head_dim = read_head_dim(sheet, block, family)
    if head_dim is None:
        return None
    width = head_dim if type_name == "proportional" else _rotated(sheet, block, family, head_dim)
    if width is None:
        return None
    if width % 2 and width < head_dim and family.rounds_up:
        sheet.findings.note(f"the rotated width {width} is odd; {width + 1} channels turn, as transformers rounds it up")
        return Geometry(head_dim, width + 1, "head", layout, width)
    return Geometry(head_dim, width, "head", layout)


def _mla(sheet: Sheet, family: Family, layout: Layout) -> Geometry | None:
    """MLA: a query is [nope | rope], the shared key only the rope part."""
    nope_default, rope_default = family.mla or (0, 0)
    rope = sheet.integer("qk_rope_head_dim") or _default(sheet, "qk_rope_head_dim", rope_default)
    nope = sheet.integer("qk_nope_head_dim", above=-1)
    nope = _default(sheet, "qk_nope_head_dim", nope_default) if nope is None else nope
    stated = sheet.integer("head_dim")
    if stated is not None and stated not in (rope, nope + rope):
        sheet.findings.note(f"{sheet.where('head_dim')} {stated} has no effect: a head is {nope} + {rope} wide (MLA)")
    return Geometry(nope + rope, rope, "tail", layout)


def _default(sheet: Sheet, key: str, value: int) -> int:
    if sheet.values.get(key) is None:
        sheet.findings.note(f"{sheet.where(key)} is missing; the family's default {value} is used")
    return value


def read_head_dim(sheet: Sheet, block: Block, family: Family) -> int | None:
    """Return the width of a query head."""
    keys = block.defaults.head_dim_keys + family.head_dim_keys
    stated = sheet.integer(*keys)
    if stated is not None:
        return stated
    if sheet.find(*keys) is not None:
        return None
    if family.head_dim is not None:
        sheet.findings.note(f"{sheet.where('head_dim')} is missing; the family's default {family.head_dim} is used")
        return family.head_dim
    hidden = with_default(sheet, HIDDEN_KEYS, family.shape.hidden)
    heads = with_default(sheet, HEADS_KEYS, family.shape.heads)
    if hidden is None or heads is None:
        _report_missing(sheet, [HIDDEN_KEYS] * (hidden is None) + [HEADS_KEYS] * (heads is None))
        return None
    if hidden % heads:
        sheet.findings.note(f"hidden_size {hidden} is no multiple of {heads} heads; a head is {hidden // heads} wide")
    return hidden // heads


def _report_missing(sheet: Sheet, missing: Iterable[tuple[str, ...]]) -> None:
    for keys in missing:
        if sheet.find(*keys) is None:  # otherwise its value was wrong, and that is reported
            sheet.findings.problem(f"{sheet.where(keys[0])} is missing; give it, or head_dim")


def with_default(sheet: Sheet, keys: tuple[str, ...], default: int | None) -> int | None:
    """Return the value, or the class's default inside a sub-configuration, which is saved without such values."""
    value = sheet.integer(*keys)
    if value is not None or sheet.find(*keys) is not None or default is None or not sheet.path:
        return value
    sheet.findings.note(f"{sheet.where(keys[0])} is missing; the family's default {default} is used")
    return default


def _rotated(sheet: Sheet, block: Block, family: Family, head_dim: int) -> int | None:
    width = sheet.integer(*family.rotary_dim_keys)
    if width is not None:
        return width
    stated = block.sheet.number("partial_rotary_factor", above=0, at_most=1)
    found = block.sheet.find("partial_rotary_factor") or sheet.find(*family.partial_keys)
    share = stated if stated is not None else sheet.number(*family.partial_keys, above=0, at_most=1)
    if found is not None and share is None:
        return None
    if family.partial is None:
        if share is not None and share != 1:
            sheet.findings.note(f"{found[0] if found else 'partial'} {share:g} has no effect: this family turns whole heads")
        return head_dim
    if share is None:
        share = block.defaults.partial if block.defaults.partial is not None else family.partial
        if share != 1:
            sheet.findings.note(f"no partial_rotary_factor; the family's default {share:g} is used")
    return int(head_dim * share)
