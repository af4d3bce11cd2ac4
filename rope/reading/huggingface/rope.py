"""From one block and the widths around it to one `RopeConfig`."""

import math
from dataclasses import replace
from typing import Any

from tightrope.rope.config.mrope import AxisOrder, MRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError, shortened, suggestion
from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.huggingface.blocks import Block, parameters, type_name
from tightrope.rope.reading.huggingface.geometry import LENGTH_KEYS, Geometry, read_geometry, with_default
from tightrope.rope.reading.section import Findings, Section
from tightrope.rope.scaling import Scaling, find_type, rope_types
from tightrope.rope.scaling.yarn import Yarn


def read_rope(section: Section, block: Block, family: Family) -> RopeConfig | None:
    """Return one rope, None (and problems) where it cannot be right."""
    findings = section.findings
    name = type_name(block, family)
    is_known = name in rope_types()
    if not is_known:
        hint = suggestion(name, rope_types()) or f"; known: {', '.join(rope_types())}"
        findings.problem(f"unknown rope_type {shortened(name)} in {block.place}{hint}")
    # With an unknown type the rest is read all the same: a file is fixed in one go.
    scaling = _scaling(section, block, name, family) if is_known else None
    geometry = read_geometry(section, block, family, name if is_known else "default")
    base = _base(section, block, family)
    length = with_default(section, LENGTH_KEYS, family.shape[3])
    mrope = None if geometry is None else _mrope(block, family, geometry)
    if geometry is None or base is None or scaling is None or findings.problems:
        return None
    return _checked(geometry, base, scaling, length, mrope, block, family)


def _checked(
    geometry: Geometry,
    base: float,
    scaling: Scaling,
    length: int | None,
    mrope: MRope | None,
    block: Block,
    family: Family,
) -> RopeConfig | None:
    findings = block.section.findings
    try:
        rope = RopeConfig(
            **geometry._asdict(),
            base=base,
            scaling=scaling,
            max_position_embeddings=length,
            mrope=mrope,
            direction=family.direction,
            fractional=_takes_fractions(family, scaling),
        )
        rope = _said_once(rope)
        remarks = list(rope.scaling.remarks(rope))
    except (RopeConfigError, ArithmeticError) as error:  # ArithmeticError: a product of absurd numbers overflows
        problems = error.problems if isinstance(error, RopeConfigError) else [str(error)]
        findings.problems.extend(f"{block.place}: {problem}" for problem in problems)
        return None
    for remark in remarks:
        findings.note(f"{block.place}: {remark}")
    _compare_lengths(rope, block.place, findings)
    return rope


def _takes_fractions(family: Family, scaling: Scaling) -> bool:
    if family.axes is not None:
        return family.axes.fractional
    return family.fractional and not scaling.follows_length


def _said_once(rope: RopeConfig) -> RopeConfig:
    """Return a rope without the attention_factor that its attn_factor gives too: files state both for two readers."""
    scaling = rope.scaling
    if not isinstance(scaling, Yarn) or scaling.attention_factor is None or scaling.attn_factor == 1:
        return rope
    if not math.isclose(scaling.attention_factor, scaling.own_attention_factor(rope), rel_tol=1e-9):
        return rope
    return replace(rope, scaling=replace(scaling, attention_factor=None))


def _scaling(section: Section, block: Block, name: str, family: Family) -> Scaling | None:
    values = parameters(block, name, family)
    _original_length(section, name, values, block)
    if name == "proportional" and "partial_rotary_factor" not in values:
        share = section.number(*family.partial_keys, "partial_rotary_factor")
        values |= {} if share is None else {"partial_rotary_factor": share}
    try:
        return find_type(name).from_block(values)
    except RopeConfigError as error:
        section.findings.problems.extend(f"{block.section.path}{problem}" for problem in error.problems)
        return None


def _original_length(section: Section, name: str, values: dict[str, Any], block: Block) -> None:
    """A top-level original_max_position_embeddings counts before the block's, as in transformers."""
    stated = section.integer("original_max_position_embeddings")
    if stated is None or name not in ("yarn", "longrope", "llama3"):
        return
    own = values.get("original_max_position_embeddings")
    if own is not None and own != stated:
        section.findings.note(
            f"original_max_position_embeddings is {stated} at the top and {shortened(own)} in {block.place}; "
            "the one at the top counts"
        )
    values["original_max_position_embeddings"] = stated


def _base(section: Section, block: Block, family: Family) -> float | int | None:
    base = _stated_base(section, block, family)
    factor = section.number(family.base_factor_key, above=0) if family.base_factor_key else None
    if base is None or factor is None:
        return base
    section.findings.note(f"{section.where(str(family.base_factor_key))} {factor:g} multiplies the base")
    return base * factor


def _stated_base(section: Section, block: Block, family: Family) -> float | int | None:
    """Return the base: the block's, else the one at the top, else the family's; a base of null is none of these."""
    own = block.section
    owner, keys = _where_base_stands(section, block.defaults.base_keys)
    outside = owner.find(*keys)
    if not (block.shared and block.defaults.own_base):
        if own.is_null("rope_theta"):
            _reject_null(own, "rope_theta")
            return None
        if own.find("rope_theta") is not None:
            _compare_bases(own, owner, outside)
            return own.number("rope_theta", above=0)
    if outside is None:
        null = next((key for key in keys if owner.is_null(key) and key not in family.null_base), None)
        if null is None:
            return _default_base(section, block)
        _reject_null(owner, null)
        return None
    if outside[0] != "rope_theta":
        owner.translated(outside[0], "rope_theta" if block.key == "default" else f"rope_theta of {block.key}")
    return owner.number(*keys, above=0)


def _default_base(section: Section, block: Block) -> float:
    base = block.defaults.base
    key = (*block.defaults.base_keys, "rope_theta")[0]
    section.findings.note(f"no {key} for {block.key}; the family's default {base:.15g} is used")
    return base


def _reject_null(section: Section, key: str) -> None:
    section.findings.problem(
        f"{section.where(key)} must be a finite number > 0, got null, with which this family has no frequencies; give "
        "the base, or leave the key out for the family's default"
    )


def _compare_bases(own: Section, owner: Section, outside: tuple[str, Any] | None) -> None:
    inside = own.values["rope_theta"]
    if outside is not None and outside[1] != inside and not isinstance(outside[1], list):
        own.findings.note(
            f"{own.where('rope_theta')} {shortened(inside)} counts; "
            f"{owner.where(outside[0])} {shortened(outside[1])} differs"
        )


def _where_base_stands(section: Section, keys: tuple[str, ...]) -> tuple[Section, tuple[str, ...]]:
    """Follow a dotted key into its inner object (DBRX keeps its base in attn_config)."""
    for key in keys:
        outer, dot, name = key.partition(".")
        inner = section.inner(outer) if dot and isinstance(section.get(outer), dict) else None
        if inner is not None and inner.find(name) is not None:
            return inner, (name,)
    return section, tuple(key for key in keys if "." not in key)


def _mrope(block: Block, family: Family, geometry: Geometry) -> MRope | None:
    """Return the sections of several position axes, in the order of the axes."""
    if family.axes is not None:
        each = geometry.rotary_dim // 2 // family.axes.count
        return MRope(sections=(each,) * family.axes.count, order=family.axes.order, progression=family.axes.progression)
    order = _axis_order(block, family)
    sections = block.section.integers("mrope_section")
    if block.section.find("mrope_section") is None and family.sections is not None:
        sections = _default_sections(family.sections, geometry.rotary_dim // 2, order)
        block.section.findings.note(f"no mrope_section for {block.key}; the family's default {sections} is used")
    if not sections:
        return None
    if family.section_order is not None and len(family.section_order) == len(sections):
        sections = [sections[family.section_order.index(axis)] for axis in range(len(sections))]
    missing = geometry.rotary_dim // 2 - sum(sections)
    if order == "interleaved" and missing > 0 and block.section.find("mrope_section") is not None:
        block.section.findings.note(f"{block.section.where('mrope_section')} leaves {missing} pairs to axis 0")
        sections[0] += missing
    try:
        return MRope(sections=tuple(sections), order=order)
    except RopeConfigError as error:
        block.section.findings.problems.extend(f"{block.section.path}{problem}" for problem in error.problems)
        return None


def _axis_order(block: Block, family: Family) -> AxisOrder:
    stated = block.section.flag("mrope_interleaved")
    if family.mrope is None:
        return "interleaved" if stated else "chunked"
    if stated is not None and stated != (family.mrope == "interleaved"):
        place = block.section.where("mrope_interleaved")
        block.section.findings.note(f"{place} {stated} has no effect: the axes of this family are {family.mrope}")
    return family.mrope


def _default_sections(sections: tuple[int, ...], pairs: int, order: AxisOrder) -> list[int]:
    """Return the family's sections; interleaved ones are cut to the pairs there are, and axis 0 takes the rest."""
    if not sections:
        return [pairs // 2] * 2
    if order != "interleaved":
        return list(sections)
    axes = len(sections)
    rest = [len(range(axis, min(axes * sections[axis], pairs), axes)) for axis in range(1, axes)]
    return [pairs - sum(rest), *rest]


def _compare_lengths(rope: RopeConfig, place: str, findings: Findings) -> None:
    """Note lengths that contradict each other; published files have them."""
    factor: float | None = getattr(rope.scaling, "factor", None)
    original: int | None = getattr(rope.scaling, "original_max_position_embeddings", None)
    length = rope.max_position_embeddings
    if original is None or length is None:
        return
    if rope.scaling.rope_type == "yarn" and factor is not None and factor * original != length:
        findings.note(
            f"{place}: factor {factor:g} × original_max_position_embeddings {original} is not "
            f"max_position_embeddings {length}; each is used as it stands"
        )
    if original > length:
        findings.note(f"{place}: original_max_position_embeddings {original} exceeds max_position_embeddings {length}")
