"""mlx-lm's own ropes, for the audit: its model built without weights, its rope objects called."""

import contextlib
import importlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any, Final, TypeVar

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from tightrope.backends.mlx.mlx_lm.handler import plan
from tightrope.backends.mlx.mlx_lm.places import rope_modules
from tightrope.backends.patching.models import Options, PatchPlan
from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.reading.huggingface.model import TEXT_KEYS
from tightrope.verify.audit.peers import Built, PeerLacks, PeerRefuses

# What a model class of mlx-lm raises where a configuration lacks something or says something that it does not know.
REFUSALS: Final = (
    TypeError, ValueError, KeyError, AttributeError, AssertionError, IndexError, ZeroDivisionError, RuntimeError
)  # fmt: skip

_MISSING: Final = re.compile(r"(\w+)\.__init__\(\) missing \d+ required positional arguments?: (.*)")
_ROTARY: Final = re.compile(r"rope|rotary|theta|^head_dim$")
# Of what model classes check beyond its presence.
_ACCEPTABLE: Final = {"intermediate_size": 64, "topk_method": "noaux_tc"}
# The parts of a configuration that model classes build arguments from.
_PARTS: Final = (*TEXT_KEYS, "vision_config", "audio_config")


B = TypeVar("B")


class BuiltMlxLm(Built):
    """See `tightrope.verify.audit.peers.Built`. Nothing of it is evaluated but what the ropes compute."""

    def __init__(self, model: nn.Module, rope: ModelRope) -> None:
        self.model = model
        self.rope = rope

    @property
    def softmax_scale(self) -> float | None:
        """The factor on the attention logits of MLA, whose head width says what it would be without one."""
        for key, layer in zip(self.rope.layers, self.model.layers, strict=False):
            for place in rope_modules(layer) if key is not None else ():
                rope, scale = self.rope.ropes[str(key)], getattr(place.owner, "scale", None)
                if rope.side == "tail" and isinstance(scale, float):
                    return float(scale * rope.head_dim**0.5)
        return None

    def rotate(self, layer: int, x: NDArray[np.float32], offset: int) -> NDArray[np.float32]:
        """See `tightrope.verify.audit.peers.Built.rotate`."""
        found = [
            place for place in rope_modules(self.model.layers[layer]) if "ndexer" not in type(place.owner).__name__
        ]
        if not found:
            raise PeerLacks("it applies its own rotation function")
        try:
            return np.array(found[0].rope(mx.array(x), offset=offset).astype(mx.float32))
        except REFUSALS as error:
            raise PeerRefuses(f"{type(error).__name__}: {error}") from error

    def mends(self) -> str:
        """See `tightrope.verify.audit.peers.Built.mends`."""
        return why_not(plan, self.model, self.rope)


def why_not(plan: Callable[[nn.Module, object, Options], PatchPlan], model: nn.Module, rope: ModelRope) -> str:
    """Return why `tightrope.patch` cannot take over in a model; empty where it can."""
    try:
        plan(model, rope, Options())
    except RopeConfigError as error:
        return str(error)
    return ""


def build(config: dict[str, Any], model: ModelRope, context: int | None = None) -> BuiltMlxLm:
    """See `tightrope.verify.audit.peers.Peer.build`.

    Arguments that a configuration lacks and that do not bear on rotation are filled in: a fragment that says only how a
    model rotates can be audited.
    """
    module = _module(config)
    return completed_until_built(
        lambda full: BuiltMlxLm(module.Model(module.ModelArgs.from_dict(full)), model), config, module
    )


def completed_until_built(construct: Callable[[dict[str, Any]], B], config: dict[str, Any], module: ModuleType) -> B:
    """Return what `construct` makes of a configuration, with arguments that it lacks and rotation does not need.

    Raises:
        PeerRefuses: It raises for another reason, or lacks what rotation does need.
    """
    config = _with(config, _ACCEPTABLE)
    while True:
        try:
            return construct(config)
        except REFUSALS as error:
            names = _lacking(error)
            rotary = [name for name in names if _ROTARY.search(name)]
            completed = _with(config, {} if rotary else _values(names, error, module, config))
            if completed == config:
                reason = f"it needs {' and '.join(rotary)}" if rotary else f"{type(error).__name__}: {error}"
                raise PeerRefuses(reason) from error
            config = completed


def _module(config: Mapping[str, Any]) -> ModuleType:
    utils = importlib.import_module("mlx_lm.utils")
    kind = config.get("model_type", "")
    for architecture in config.get("architectures") or ():
        kind = getattr(utils, "MODEL_ARCHITECTURE_REMAPPING", {}).get((kind, architecture), kind)
    kind = getattr(utils, "MODEL_REMAPPING", {}).get(kind, kind)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            module = importlib.import_module(f"mlx_lm.models.{kind}")
    except (ImportError, SystemExit) as error:  # one of its modules ends the process where a package is missing
        raise PeerLacks(f"it has no model_type {kind!r}") from error
    if not hasattr(module, "ModelArgs"):
        raise PeerLacks(f"it has no model_type {kind!r}")
    return module


def _lacking(error: Exception) -> list[str]:
    """Return the arguments that an error says are missing."""
    found = _MISSING.match(str(error))
    return re.findall(r"'(\w+)'", found.group(2)) if found else []


def _values(names: list[str], error: Exception, module: ModuleType, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value of its type for each argument that a class of arguments lacks."""
    found = _MISSING.match(str(error))
    owners = _classes(module, found.group(1)) if found else ()
    kinds = {item.name: str(item.type) for cls in owners for item in fields(cls)}
    known = {"model_type": config.get("model_type", "")}
    return {name: known.get(name, _value(kinds.get(name, "int"))) for name in names}


def _classes(module: ModuleType, name: str) -> Iterator[Any]:
    """Yield the classes of arguments of that name, of a module and of the model modules that it builds on."""
    for part in (module, *(value for value in vars(module).values() if isinstance(value, ModuleType))):
        cls = getattr(part, name, None)
        if is_dataclass(cls):
            yield cls


def _value(kind: str) -> Any:
    # Nothing is computed with these: a small number makes small arrays, which are never evaluated.
    for name, value in (("ist", []), ("ict", {}), ("bool", False), ("int", 1), ("float", 1.0), ("str", "")):
        if name in kind:
            return value
    return 1


def _with(config: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with values where it has none, at the top and in its parts."""
    completed = {**values, **config}
    for part in _PARTS:
        if isinstance(config.get(part), dict):
            completed[part] = {**values, **config[part]}
    return completed
