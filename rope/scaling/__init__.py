"""Rope types, one module each. A module dropped into this package registers itself."""

from importlib import import_module
from pkgutil import iter_modules

from tightrope.rope.scaling.base import (
    Scaling,
    find_type,
    flag,
    integer,
    number,
    numbers,
    rope_type,
    rope_types,
    scaling_from,
)

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["Scaling", "find_type", "flag", "integer", "number", "numbers", "rope_type", "rope_types", "scaling_from"]
