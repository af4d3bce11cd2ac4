"""Rope types by name: what registers one, and what finds it."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from tightrope.rope.errors import RopeConfigError, shortened, suggestion
from tightrope.rope.scaling.base import Scaling
from tightrope.rope.support.called import fields_in_words
from tightrope.rope.support.validation import instance, require

_REGISTRY: dict[str, type[Scaling]] = {}
_SomeScaling = TypeVar("_SomeScaling", bound=Scaling)


def rope_type(name: str) -> Callable[[type[_SomeScaling]], type[_SomeScaling]]:
    """Register a `Scaling` under its name, so that configurations may ask for it.

    Raises:
        RopeConfigError: The name is taken by another class, or what is registered is no `Scaling`.
    """
    require(instance("rope_type", name, str, "a string: the name that configurations give it"))

    def register(cls: type[_SomeScaling]) -> type[_SomeScaling]:
        if not (isinstance(cls, type) and issubclass(cls, Scaling)):
            raise RopeConfigError(f"rope_type {name!r} must be a subclass of tightrope.Scaling, got {shortened(cls)}")
        holder = _REGISTRY.get(name)
        # A class defined again by the same code (a notebook cell run twice) replaces itself.
        if holder is not None and (holder.__module__, holder.__qualname__) != (cls.__module__, cls.__qualname__):
            raise RopeConfigError(f"rope_type {name!r} is taken by {holder.__qualname__}; choose another name")
        cls.rope_type = name
        _REGISTRY[name] = fields_in_words()(cls)
        return cls

    return register


def rope_types() -> tuple[str, ...]:
    """Return the names of all registered rope types."""
    return tuple(sorted(_REGISTRY))


def find_type(name: str) -> type[Scaling]:
    """Return the rope type of that name.

    Raises:
        RopeConfigError: There is none; the message suggests the nearest name.
    """
    if name in _REGISTRY:
        return _REGISTRY[name]
    hint = suggestion(name, _REGISTRY) or f"; known: {', '.join(rope_types())}"
    raise RopeConfigError(f"unknown rope_type {name!r}{hint}")


def scaling_from(block: Mapping[str, object]) -> Scaling:
    """Return the rope type that a rope block of a configuration asks for.

    Raises:
        RopeConfigError: There is no such type, or it has no parameter of that name, or another rule is broken.
    """
    name = block.get("rope_type", block.get("type", "default"))
    cls = find_type(str(name))
    known = {"rope_type", "type", *(item.name for item in cls.parameters())}
    unknown = sorted(str(key) for key in block if key not in known)
    require(f"unknown key {key!r} for rope_type {name!r}{suggestion(key, known)}" for key in unknown)
    return cls.from_block(block)
