"""Which code a configuration belongs to: its model_type, the classes that it names, its own keys."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.families.learned import learned_family
from tightrope.rope.reading.families.lookup import family_name, find_family, is_elsewhere, relatives
from tightrope.rope.reading.families.parts import OTHER_POSITIONS
from tightrope.rope.reading.families.unknown import says_something, unknown_family
from tightrope.rope.reading.section import Section, shortened
from tightrope.rope.reading.statements import rotates

# The part of a class's name that says what the class is for.
_PURPOSE = re.compile(r"_?(For[A-Z]\w*|LMHead\w*|PreTrainedModel|PretrainedModel|ModelLM|Model|Config|LM)$")

# Families without rotary positions whose name remote code bears that has them.
_ROTARY_CODE = {"xlm-roberta": "jina_embeddings_v3"}


def read_family(section: Section, model_type: str, strict: bool) -> tuple[str, Family] | None:
    """Return name and family of the code a configuration belongs to, None (and a problem) where it is not known."""
    family = find_family(model_type)
    named = _named_by_class(section, model_type, family)
    if named is not None:
        return named
    if family is None:
        return _unknown(section, model_type, strict)
    return _rotary_code(section, model_type, family) if _is_of_other_positions(family) else (model_type, family)


def _named_by_class(section: Section, model_type: str, family: Family | None) -> tuple[str, Family] | None:
    """Return the family of the classes that the file names, where that counts more than its model_type."""
    for place, name in _classes(section):
        stem = _PURPOSE.sub("", name.rpartition(".")[2])
        other = find_family(stem)
        if other is None or (family is not None and _rotation(other) == _rotation(family)):
            continue
        said = f"{section.where(place)} names the code {shortened(name)}"
        # auto_map leads to the code itself; a family that is at home elsewhere is known by its model_type.
        remote = place == "auto_map" and (not is_elsewhere(model_type) or _is_of_other_positions(family))
        if family is None or remote:
            section.findings.note(f"{said}: read like it, not as model_type {model_type!r}")
            return family_name(stem), other
        section.findings.note(f"{said}; model_type {model_type!r} counts")
    return None


def _classes(section: Section) -> Iterator[tuple[str, str]]:
    auto_map, architectures = section.values.get("auto_map"), section.values.get("architectures")
    mapped = (
        [auto_map.get(key) for key in ("AutoConfig", "AutoModelForCausalLM", "AutoModel")]
        if (isinstance(auto_map, Mapping))
        else []
    )
    for place, names in (("auto_map", mapped), ("architectures", architectures)):
        yield from ((place, name) for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def _is_of_other_positions(family: Family | None) -> bool:
    return family is not None and family.without is OTHER_POSITIONS


def _rotation(family: Family) -> Family:
    """Return a family without the columns that have no bearing on its rotation."""
    return replace(family, shape=Family().shape, wrappers=(), note=None, decoys=())


def _rotary_code(section: Section, model_type: str, family: Family) -> tuple[str, Family] | None:
    """Return the family of a model whose name stands for positions of another kind, unless its file says otherwise."""
    said = next((key for key, value in section.values.items() if isinstance(value, str) and rotates(key, value)), None)
    if said is None:
        return model_type, family
    statement = f"{section.where(said)} {shortened(section.get(said))}"
    name = _ROTARY_CODE.get(model_type, "")
    other = find_family(name)
    if other is None:
        section.findings.problem(
            f"{statement}: model_type {model_type!r} has no rotary positions in its own code; give the model_type of a "
            "family like it"
        )
        return None
    section.findings.note(f"{statement}: read as {name!r}, not as model_type {model_type!r}")
    return name, other


def _unknown(section: Section, model_type: str, strict: bool) -> tuple[str, Family] | None:
    findings = section.findings
    learned = learned_family(model_type)
    if learned is not None:
        findings.note(f"model_type {model_type!r} is not in the table: learned from {learned.source}")
        return model_type, learned.family
    said = says_something(section)
    if strict or not said:
        reason = (
            "" if said else " and no key that tells of rotary positions (rope_theta, rope_scaling, rope_parameters)"
        )
        findings.problem(f"unknown model_type {model_type!r}{reason}; give the model_type of a family like it")
        return None
    findings.own = findings.own or not model_type
    for name, family in relatives(model_type):
        own = section.find(*sorted(family.own_keys()))
        if own is not None:
            findings.guess(f"unknown model_type {model_type!r}: read like {name!r}, whose key {own[0]!r} it has")
            return name, family
    like = "DeepSeek (MLA)" if section.find("qk_rope_head_dim") else "Llama"
    unknown = f"unknown model_type {model_type!r}" if model_type else "no model_type"
    findings.guess(f"{unknown}: read like {like}; check layout and defaults")
    return model_type, unknown_family(section)
