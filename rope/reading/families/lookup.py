"""The family of a model_type."""

from dataclasses import replace

from tightrope.rope.reading.families.elsewhere import ELSEWHERE
from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.families.shapes import SHAPES, TOWER_SHAPES
from tightrope.rope.reading.families.text import (
    FAMILIES,
)
from tightrope.rope.reading.families.towers import TOWERS
from tightrope.rope.reading.families.wrappers import WRAPPERS

# What is taken for granted of a model_type that no table has.
UNKNOWN_FAMILY = Family(
    partial=1.0,
    base_keys=("rope_theta", "rotary_emb_base", "rope_embedding_base", "rotary_base"),
    partial_keys=("partial_rotary_factor", "rotary_pct"),
    rotary_dim_keys=("rotary_dim",),
)
# fmt: on

_TABLES = ELSEWHERE | TOWERS | FAMILIES
_SHAPES = SHAPES | TOWER_SHAPES
_ALL = {name: replace(family, shape=_SHAPES.get(name, family.shape)) for name, family in _TABLES.items()}
_NAMES = {**{name: name for name in _ALL}, **{name: inner for name, inner in WRAPPERS.items() if inner in _ALL}}


def _squeezed(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


_SQUEEZED = {_squeezed(name): inner for name, inner in _NAMES.items()}


def find_family(model_type: str) -> Family | None:
    """Return the family of a model_type, or of a configuration class's name; None for an unknown one."""
    name = _NAMES.get(model_type) or _SQUEEZED.get(_squeezed(model_type))
    return None if name is None else _ALL[name]


def family_name(model_type: str) -> str:
    """Return the name under which the table has a model_type that it knows."""
    return _NAMES.get(model_type) or _SQUEEZED.get(_squeezed(model_type), model_type)
