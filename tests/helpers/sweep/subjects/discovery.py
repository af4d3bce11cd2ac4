"""Which model families of the installed transformers rotate queries and keys: found in the package, not in a list.

A family is a folder of transformers/models. It is rotary when one of its modeling files defines a class, a function or
a method whose name says so. What it does with it, `driving` finds out.
"""

import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

EMBEDDING = re.compile(r"(Rotary|Rope)\w*Embedding$")
ROTARY_NAME = re.compile(r"rotary|(^|_)rope(_|$)|RoPE|Rotary|Rope[A-Z]|rotate_(half|every|pairwise|queries)")
# These build positions for a rotation that another family does.
POSITION_BUILDER = re.compile(r"get_rope_index|sinusoid")


@dataclass(frozen=True)
class RotaryClass:
    """A rotary embedding class and the configurations that its owners build it from.

    Attributes:
        family: Folder under transformers/models.
        cls: The class.
        configs: Configuration classes, or () where the source names none.
    """

    family: str
    cls: type
    configs: tuple[type, ...]

    @property
    def key(self) -> str:
        return f"{self.family}/{self.cls.__name__}"

    @property
    def module(self) -> ModuleType:
        """The modeling module, which also holds the apply functions."""
        return importlib.import_module(self.cls.__module__)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What its forward takes, without self."""
        return tuple(inspect.signature(self.cls.forward).parameters)[1:]


@cache
def modeling_modules() -> tuple[tuple[str, ModuleType], ...]:
    """Return (family, module) for every modeling file that speaks of rotary code."""
    models = Path(importlib.util.find_spec("transformers").origin).parent / "models"
    return tuple(
        (file.parent.name, importlib.import_module(f"transformers.models.{file.parent.name}.{file.stem}"))
        for file in sorted(models.glob("*/modeling_*.py"))
        if ROTARY_NAME.search(file.read_text(encoding="utf-8"))
    )


@cache
def rotary_families() -> tuple[str, ...]:
    """Return every family with rotary code of its own."""
    return tuple(sorted({family for family, module in modeling_modules() if any(map(_says_rotary, _names(module)))}))


@cache
def rotary_classes() -> tuple[RotaryClass, ...]:
    """Return every rotary embedding class with its configurations."""
    return tuple(
        RotaryClass(family, cls, _configs(module, cls))
        for family, module in modeling_modules()
        for cls in _own(module, inspect.isclass)
        if EMBEDDING.search(cls.__name__)
    )


def _says_rotary(name: str) -> bool:
    return bool(ROTARY_NAME.search(name)) and not POSITION_BUILDER.search(name)


def _own(module: ModuleType, kind) -> list:
    return [item for item in vars(module).values() if kind(item) and item.__module__ == module.__name__]


def _names(module: ModuleType) -> Iterator[str]:
    yield from (function.__name__ for function in _own(module, inspect.isfunction))
    for cls in _own(module, inspect.isclass):
        yield cls.__name__
        yield from (name for name, item in vars(cls).items() if callable(item) or isinstance(item, staticmethod))


def _configs(module: ModuleType, rotary: type) -> tuple[type, ...]:
    """Return the configuration classes of the owners of a rotary class, the models that build one; else its own."""
    owners = [cls for cls in _own(module, inspect.isclass) if rotary.__name__ in _names_used(cls)]
    owned = [config for owner in owners for config in _config_annotation(owner, module)]
    return tuple(dict.fromkeys(owned or _config_annotation(rotary, module)))


def _names_used(cls: type) -> tuple[str, ...]:
    return inspect.unwrap(cls.__init__).__code__.co_names if "__init__" in vars(cls) else ()


def _config_annotation(cls: type, module: ModuleType) -> list[type]:
    parameters = inspect.signature(inspect.unwrap(cls.__init__)).parameters.values()
    found = [p.annotation for p in parameters if p.name.endswith("config")]
    resolved = [getattr(module, item, None) if isinstance(item, str) else item for item in found]
    return [item for item in resolved if inspect.isclass(item) and item.__name__ != "PreTrainedConfig"]
