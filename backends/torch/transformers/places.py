"""The rotary modules inside a transformers model: where they hang, and the attention that uses them."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, Final

import torch

from tightrope.backends.torch.transformers.rotary import Form, HFRotary
from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import RopeConfigError

UNTOUCHED: Final = "Nothing was changed"


@dataclass
class RotaryPlace:
    """A rotary module where it hangs, what takes its place, and the attention that uses it.

    Attributes:
        owner: The module that has it, and its name there.
        path: Its path in the model.
        rope: What its configuration says; None where it is left alone.
        why: Why it is left alone, or what its own numbers were like.
    """

    owner: torch.nn.Module
    name: str
    path: str
    rope: ModelRope | None = None
    form: Form = "halves"
    why: str = ""
    users: "list[User]" = field(default_factory=list)

    @property
    def module(self) -> torch.nn.Module:
        """The rotary module itself."""
        return self.owner.get_submodule(self.name)


@dataclass
class User:
    """An attention module that rotates, and the copy of its forward method that uses the fused rotation."""

    module: torch.nn.Module
    path: str
    method: Callable[..., Any] | None = None
    why: str = ""


def inner_model(model: torch.nn.Module) -> Any:
    """Return the transformers model itself: what is given, or what DDP, DataParallel or the like hold."""
    found = _outermost(model, "")
    if len(found) > 1:
        names = ", ".join(f"{path} ({type(inner).__name__})" for path, inner in found)
        raise RopeConfigError(f"{type(model).__name__} holds several models: {names}; patch each. {UNTOUCHED}")
    if not found:
        raise RopeConfigError(f"{type(model).__name__} is no transformers model: it has no configuration. {UNTOUCHED}")
    return found[0][1]


def text_config(model: Any) -> Any:
    """Return the configuration of the text decoder of a model."""
    return model.config.get_text_config(decoder=True)


def _outermost(module: torch.nn.Module, path: str) -> list[tuple[str, torch.nn.Module]]:
    """Return the modules with a configuration of transformers that are in no other such module, and where they are."""
    if callable(getattr(getattr(module, "config", None), "get_text_config", None)):
        return [(path, module)]
    children = module.named_children()
    return [found for name, child in children for found in _outermost(child, f"{path}.{name}".lstrip("."))]


def rotary_places(model: torch.nn.Module) -> Iterator[RotaryPlace]:
    """Yield the rotary modules of a model."""
    for path, owner in model.named_modules():
        for name, child in owner.named_children():
            if isinstance(child, HFRotary):
                raise RopeConfigError(f"{path} is patched already; tightrope.unpatch(model) first")
            if "Rotary" in type(child).__name__ and not any(True for _ in child.parameters()):
                yield RotaryPlace(owner, name, f"{path}.{name}".lstrip("."))


def require_shape(place: RotaryPlace) -> None:
    """Raise where a module is not called as rotary modules are."""
    kind = type(place.module)
    names = list(inspect.signature(kind.forward).parameters)
    if getattr(place.module, "config", None) is None or names[2:3] != ["position_ids"]:
        raise RopeConfigError(
            f"{place.path} ({kind.__name__}) of transformers {metadata.version('transformers')} is not called with "
            f"(x, position_ids), as rotary modules are, but with {tuple(names[1:])}. {UNTOUCHED}"
        )
    if place.module.state_dict():
        raise RopeConfigError(
            f"{place.path} ({kind.__name__}) is saved with the model, so it is part of it. {UNTOUCHED}"
        )
