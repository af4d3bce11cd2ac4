"""From any spelling of the rope parameters to one block per rope, each with its place in the file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from tightrope.rope.errors import shortened, suggestion
from tightrope.rope.reading.families.family import Family, LayerRope
from tightrope.rope.reading.section import Section
from tightrope.rope.scaling import find_type, rope_types

# Names that mean a type under another name. `mrope` says that there are sections, which say it themselves.
TYPE_ALIASES = {"su": "longrope", "mrope": "default", "deepseek_yarn": "yarn", "telechat3-yarn": "yarn"}

# Keys of a block that belong to no rope type.
SHARED_KEYS = frozenset(
    {"rope_type", "type", "rope_theta", "partial_rotary_factor", "mrope_section", "mrope_interleaved"}
)

# Keys that published files carry and no reader has ever read.
_LENGTHS = frozenset({"original_max_position_embeddings", "max_position_embeddings"})
IGNORED_KEYS = frozenset({"finetuned", "max_position_embeddings", "alpha"})


# More are counted, not listed; each is compared with all names for a misspelling.
_MOST_LISTED = 20

# The largest number of ropes in a published model is two.
_MOST_ROPES = 100


@dataclass(frozen=True)
class Block:
    """The parameters of one rope.

    Attributes:
        key: Its key in `ModelRope.ropes`.
        section: Its parameters, in the configuration's own words.
        defaults: What the family fills in.
        shared: It is a flat block that several ropes read.
    """

    key: str
    section: Section
    defaults: LayerRope
    shared: bool = False

    @property
    def place(self) -> str:
        """Return the key path of the block itself."""
        return self.section.path[:-1]


def read_blocks(section: Section, family: Family) -> dict[str, Block | None]:
    """Return one block per rope, None where the configuration says that these layers have none."""
    raw = _raw_block(section)
    nested = [key for key, value in raw.values.items() if isinstance(value, Mapping)]
    if len(nested) > _MOST_ROPES:
        raw.findings.problem(f"{raw.path[:-1]} must have at most {_MOST_ROPES} ropes, got {len(nested)}")
        return {}
    if nested:
        return _nested_blocks(raw, nested, family)
    if not family.ropes:
        return {"default": Block("default", raw, family.single())}
    blocks: dict[str, Block | None] = {}
    for key, defaults in family.ropes.items():
        if defaults is None:
            blocks[key] = None
        elif defaults.scaled:
            blocks[key] = Block(key, raw, defaults, shared=True)
        else:
            blocks[key] = Block(key, replace(raw, values={}, path=f"{raw.path}{key}."), defaults)
    _note_unscaled(raw, family)
    return blocks


def _note_unscaled(raw: Section, family: Family) -> None:
    named = [key for key, defaults in family.ropes.items() if defaults is not None and not defaults.scaled]
    if raw.values and named:
        raw.findings.note(f"{raw.path[:-1]} has no effect on {', '.join(named)} layers in this family")


def _raw_block(section: Section) -> Section:
    """Return the block that counts: rope_scaling wins over rope_parameters, as in transformers."""
    scaling, parameters = section.inner("rope_scaling"), section.inner("rope_parameters")
    if scaling is None or not scaling.values:
        empty = replace(section, values={}, path=section.where("rope_parameters."))
        return empty if parameters is None else parameters
    if parameters is not None and parameters.values:
        differ = ", and they differ" if scaling.values != parameters.values else ""
        section.findings.note(
            f"{section.where('rope_scaling')} and rope_parameters are both given; rope_scaling counts{differ}"
        )
    return scaling


def _nested_blocks(raw: Section, nested: Iterable[str], family: Family) -> dict[str, Block | None]:
    shared = {key: value for key, value in raw.values.items() if value is not None and not isinstance(value, Mapping)}
    blocks: dict[str, Block | None] = {}
    for key in nested:
        inner = raw.inner(key)
        values = shared if inner is None else {**shared, **inner.values}
        blocks[key] = Block(key, replace(raw, values=values, path=f"{raw.path}{key}."), _defaults(key, family))
    blocks |= {key: None for key, value in raw.values.items() if value is None and key not in SHARED_KEYS}
    for key, defaults in family.ropes.items():
        if key not in blocks and defaults is not None and not _covered(defaults, blocks):
            blocks[key] = Block(key, replace(raw, values={}, path=f"{raw.path}{key}."), defaults)
    return blocks


def _covered(defaults: LayerRope, blocks: Mapping[str, Block | None]) -> bool:
    """Return whether the configuration names the rope by the types of its layers instead."""
    return any(name in blocks for name in defaults.layer_types)


def _defaults(key: str, family: Family) -> LayerRope:
    named = [rope for name, rope in family.ropes.items() if rope and (name == key or key in rope.layer_types)]
    return named[0] if named else family.single()


def type_name(block: Block, family: Family) -> str:
    """Return the rope type a block asks for, by its name in this package."""
    section, findings = block.section, block.section.findings
    aliases = {**TYPE_ALIASES, **family.type_aliases}
    new, old = section.text("rope_type"), section.text("type")
    if new is not None and old is not None and aliases.get(new, new) != aliases.get(old, old):
        findings.note(f"{section.where('rope_type')} {new!r} counts; {section.where('type')} {old!r} contradicts it")
    name = new or old
    if name is None:
        name = str(filled(block).get("rope_type", "default"))
        if section.find("factor") is not None:
            findings.note(f"{section.where('factor')} has no effect: {block.place} has no rope_type, so it is {name!r}")
    if name in aliases:
        if name not in ("mrope", "axial"):
            findings.note(f"{block.place}: rope type {name!r} is read as {aliases[name]!r}")
        name = aliases[name]
    if name == "dynamic" and family.alpha and section.number("alpha"):
        findings.note(f"{section.where('alpha')} is the factor of a static NTK base (rope_type 'ntk')")
        return "ntk"
    return name


def filled(block: Block) -> Mapping[str, object]:
    """Return the family's block where the configuration has none."""
    empty = all(value is None for value in block.section.values.values())
    return block.defaults.block if empty else {}


def parameters(block: Block, name: str, family: Family) -> dict[str, Any]:
    """Return the parameters for the rope type of that name, renamed and completed."""
    section = block.section
    values: dict[str, Any] = {**block.defaults.fixed.get(name, {}), **filled(block)}
    if filled(block) and set(filled(block)) != {"partial_rotary_factor"}:
        section.findings.note(f"{block.place} is missing; the family's default is used: {dict(filled(block))}")
    values |= {key: value for key, value in section.values.items() if value is not None}
    values |= _nulls(section, name)
    if name == "ntk" and family.alpha and section.get("alpha") is not None:
        values["factor"] = section.get("alpha")
    _tell_unknown(section, name, family)
    return values


def _nulls(section: Section, name: str) -> dict[str, Any]:
    """Return what nulls of a block say, and note those from which something else follows."""
    for key in ("factor", "original_max_position_embeddings"):
        if key in _parameters_of(name) and section.is_null(key):
            section.findings.note(f"{section.where(key)} is null: read as if it were missing")
    if name == "yarn" and section.is_null("truncate"):
        section.findings.note(f"{section.where('truncate')} is null, which counts as false, as in transformers")
        return {"truncate": False}
    return {}


def _tell_unknown(section: Section, name: str, family: Family) -> None:
    """Record the keys of a block that its rope type does not know, but for those that other readers ask for."""
    asked = SHARED_KEYS | set(family.block_keys) | ({"alpha"} if family.alpha else set())
    own = _parameters_of(name)
    section.consume(*own, *(key for key in section.values if key not in asked))
    strange = [key for key, value in section.values.items() if key not in own | asked and value is not None]
    unknown = [key for key in strange if key not in IGNORED_KEYS and key not in _all_parameters()]
    for key in strange:
        if key in IGNORED_KEYS - _LENGTHS or key in _all_parameters() - _LENGTHS:
            section.findings.note(f"{section.where(key)} has no effect with rope_type {name!r}")
    for key in unknown[:_MOST_LISTED]:
        place, value = shortened(section.where(key)), shortened(section.values[key])
        section.findings.unknown_key(f"unknown key {place} (value {value}){suggestion(key, own | asked)}")
    if len(unknown) > _MOST_LISTED:
        section.findings.unknown_key(f"{len(unknown) - _MOST_LISTED} more unknown keys in {section.path[:-1]}")


def note_unused(block: Block) -> None:
    """Note the keys that blocks share and that nobody took from this one."""
    section = block.section
    for key, value in section.values.items():
        if value is not None and not section.is_consumed(key):
            section.findings.note(f"{section.where(key)} {shortened(value)} has no effect in this family")
            section.consume(key)


def _parameters_of(name: str) -> frozenset[str]:
    return frozenset(item.name for item in find_type(name).parameters())


def _all_parameters() -> frozenset[str]:
    return _union(rope_types())


@cache
def _union(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset().union(*(_parameters_of(name) for name in names))
