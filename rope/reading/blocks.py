"""From any spelling of the rope parameters to one block per rope, each with its place in the file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tightrope.rope.reading.family import Family, LayerRope
from tightrope.rope.reading.sheet import Sheet, shortened, suggestion
from tightrope.rope.scaling import find_type, rope_types

# Names that mean a type under another name. `mrope` says that there are sections, which say it themselves.
TYPE_ALIASES = {"su": "longrope", "mrope": "default", "deepseek_yarn": "yarn", "telechat3-yarn": "yarn"}

# Keys of a block that belong to no rope type.
SHARED_KEYS = frozenset({"rope_type", "type", "rope_theta", "partial_rotary_factor", "mrope_section", "mrope_interleaved"})

# Keys that published files carry and no reader has ever read.
IGNORED_KEYS = frozenset({"finetuned", "max_position_embeddings"})

KEY_ALIASES = {"attn_factor": "attention_factor"}


@dataclass(frozen=True)
class Block:
    """The parameters of one rope.

    Attributes:
        key: Its key in `ModelRope.ropes`.
        sheet: Its parameters, in the configuration's own words.
        defaults: What the family fills in.
    """

    key: str
    sheet: Sheet
    defaults: LayerRope


def read_blocks(sheet: Sheet, family: Family) -> dict[str, Block | None]:
    """Return one block per rope, None where the configuration says that these layers have none."""
    raw = _raw_block(sheet)
    nested = [key for key, value in raw.values.items() if isinstance(value, Mapping)]
    if nested:
        return _nested_blocks(raw, nested, family)
    if not family.ropes:
        return {"default": Block("default", raw, _single(family))}
    blocks: dict[str, Block | None] = {}
    for key, defaults in family.ropes.items():
        own = raw if defaults.scaled else replace(raw, values={}, path=f"{raw.path}{key}.")
        blocks[key] = Block(key, own, defaults)
    if raw.values and len({defaults.scaled for defaults in family.ropes.values()}) > 1:
        named = [key for key, defaults in family.ropes.items() if not defaults.scaled]
        sheet.findings.note(f"{raw.path[:-1]} has no effect on {', '.join(named)} layers in this family")
    return blocks


def _raw_block(sheet: Sheet) -> Sheet:
    """Return the block that counts: rope_scaling wins over rope_parameters, as in transformers."""
    scaling, parameters = sheet.inner("rope_scaling"), sheet.inner("rope_parameters")
    if scaling is not None and scaling.values and parameters is not None and parameters.values:
        differ = scaling.values != parameters.values
        sheet.findings.note(
            f"{sheet.where('rope_scaling')} and {sheet.where('rope_parameters')} are both given; "
            f"rope_scaling counts{', and they differ' if differ else ''}"
        )
    if scaling is not None and scaling.values:
        return scaling
    return parameters if parameters is not None else replace(sheet, values={}, path=sheet.where("rope_parameters."))


def _nested_blocks(raw: Sheet, nested: Iterable[str], family: Family) -> dict[str, Block | None]:
    shared = {key: value for key, value in raw.values.items() if value is not None and not isinstance(value, Mapping)}
    blocks: dict[str, Block | None] = {}
    for key in [*nested, *(key for key in family.ropes if key not in raw.values)]:
        inner = raw.inner(key)
        own = {} if inner is None else dict(inner.values)
        sheet = Sheet({**shared, **own}, raw.findings, f"{raw.path}{key}.")
        blocks[key] = Block(key, sheet, family.ropes.get(key, _single(family)))
    blocks.update({key: None for key, value in raw.values.items() if value is None and key not in SHARED_KEYS})
    return blocks


def _single(family: Family) -> LayerRope:
    return LayerRope(base=family.base, base_keys=family.base_keys, partial=family.partial, block=family.block)


def type_name(block: Block) -> str:
    """Return the rope type a block asks for, by its name in this package."""
    sheet, findings = block.sheet, block.sheet.findings
    new, old = sheet.text("rope_type"), sheet.text("type")
    if new is not None and old is not None and TYPE_ALIASES.get(new, new) != TYPE_ALIASES.get(old, old):
        findings.note(f"{sheet.where('rope_type')} {new!r} counts; {sheet.where('type')} {old!r} contradicts it")
    name = new or old or _default_type(block)
    if name in TYPE_ALIASES and name not in rope_types():
        if name != "mrope":
            findings.note(f"{sheet.path[:-1]}: rope type {name!r} is read as {TYPE_ALIASES[name]!r}")
        name = TYPE_ALIASES[name]
    return name


def _default_type(block: Block) -> str:
    if "factor" in block.sheet.values and "rope_type" not in block.defaults.block:
        block.sheet.findings.note(f"{block.sheet.path[:-1]} has a factor but no rope_type, so it is 'default'")
    return str(block.defaults.block.get("rope_type", "default"))


def parameters(block: Block, name: str, family: Family) -> dict[str, Any]:
    """Return the parameters for the rope type of that name, renamed and completed."""
    sheet = block.sheet
    values = {KEY_ALIASES.get(key, key): value for key, value in sheet.values.items() if value is not None}
    for old, new in KEY_ALIASES.items():
        if sheet.values.get(old) is not None:
            sheet.findings.note(f"{sheet.where(old)} is read as {new}, which its authors meant")
            values[new] = sheet.values.get(new) if sheet.values.get(new) is not None else sheet.values[old]
    filled = {key: value for key, value in block.defaults.block.items() if key not in values}
    if values.keys() <= SHARED_KEYS | filled.keys() or "rope_type" not in filled:
        values |= filled
    for problem in _unknown(sheet, name, family):
        sheet.findings.unknown.append(problem)
    return values


def _unknown(sheet: Sheet, name: str, family: Family) -> Iterator[str]:
    own = {item.name for item in find_type(name).parameters()}
    others = {item.name for other in rope_types() for item in find_type(other).parameters()} | {"alpha"}
    expected = own | SHARED_KEYS | KEY_ALIASES.keys() | family_keys(family)
    for key, value in sheet.values.items():
        if key in expected or value is None:
            continue
        if key in IGNORED_KEYS or key in others:
            if key != "original_max_position_embeddings":
                sheet.findings.note(f"{sheet.where(key)} has no effect with rope_type {name!r}")
        else:
            yield f"unknown key {sheet.where(key)!r} (value {shortened(value)}){suggestion(key, expected | others)}"


def family_keys(family: Family) -> frozenset[str]:
    """Return the keys of a block that only this family knows."""
    keys = {"alpha"} if family.alpha else set()
    return frozenset(keys | ({"llama_4_scaling_beta"} if family.query == "ministral" else set()))
