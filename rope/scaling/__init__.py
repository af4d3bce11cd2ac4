"""Rope types, one module each. A module dropped into this package registers itself."""

from importlib import import_module
from pkgutil import iter_modules

from tightrope.rope.scaling.base import Rope, Scaling
from tightrope.rope.scaling.parameters import flag, integer, number, numbers
from tightrope.rope.scaling.registry import find_type, rope_type, rope_types, scaling_from

# After the names above, which every rope type imports from here.
for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Rope", "Scaling", "find_type", "flag", "integer", "number", "numbers", "rope_type", "rope_types", "scaling_from",
]  # fmt: skip
