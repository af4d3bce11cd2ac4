"""The family of a model_type."""

import re
from collections.abc import Iterator
from itertools import takewhile

from tightrope.rope.reading.families.elsewhere import ELSEWHERE
from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.families.text import (
    FAMILIES,
)
from tightrope.rope.reading.families.towers import TOWERS

_ALL = ELSEWHERE | TOWERS | FAMILIES
_NAMES = {alias: name for name, family in _ALL.items() for alias in (*family.wrappers, name)}


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


def is_elsewhere(model_type: str) -> bool:
    """Return whether the family of a model_type is described by code that transformers does not have."""
    return family_name(model_type) in ELSEWHERE


def relatives(model_type: str) -> Iterator[tuple[str, Family]]:
    """Yield the families that an unknown name may succeed or precede, the most alike first: of `mimo_v3`, `mimo_v2`."""
    own = _squeezed(model_type)
    stem = _stem(own)
    alike = [squeezed for squeezed in _SQUEEZED if stem and _stem(squeezed) == stem]
    for squeezed in sorted(alike, key=lambda name: -_shared(name, own)):
        yield _SQUEEZED[squeezed], _ALL[_SQUEEZED[squeezed]]


def _stem(squeezed: str) -> str:
    """Return a name up to its version."""
    return re.split(r"v?\d", squeezed, maxsplit=1)[0]


def _shared(one: str, other: str) -> int:
    """Return how many letters two names begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
