"""transformers' own ropes, for the audit: a family's rotary module and the function that applies it."""

import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tightrope.backends.torch.transformers.apply import APPLY_NAME, Meaning, arguments_of, meaning_of
from tightrope.backends.torch.transformers.forward import apply_functions
from tightrope.backends.torch.transformers.network import (
    attention_modules,
    build_network,
    rotary_modules,
    with_values,
)
from tightrope.backends.torch.transformers.rotary import FORMS, Form
from tightrope.rope.config.model import ModelRope
from tightrope.verify.audit.peers import Built, PeerLacks, PeerRefuses, PeerUnusable

# Whatever the library raises is its refusal: its strict dataclasses have errors of their own kinds.
_REFUSALS = Exception


class BuiltTransformers(Built):
    """See `tightrope.verify.audit.peers.Built`."""

    def __init__(self, rotary: torch.nn.Module, scope: dict[str, Any], rope: ModelRope) -> None:
        self.rotary = rotary
        self.scope = scope
        self.rope = rope

    def rotate(self, layer: int, x: NDArray[np.float32], offset: int) -> NDArray[np.float32]:
        """See `tightrope.verify.audit.peers.Built.rotate`."""
        q = torch.from_numpy(x)
        positions = torch.arange(offset, offset + x.shape[2])[None]
        key = self.rope.layers[layer] if self.rope.layers else next(iter(self.rope.ropes))
        takes = "layer_type" in inspect.signature(type(self.rotary).forward).parameters
        try:
            output = self.rotary(q[:, 0], positions, **({"layer_type": key} if takes else {}))
            return self._applied(q, output, self.rope.ropes[key or next(iter(self.rope.ropes))].layout)
        except PeerLacks:
            raise
        except _REFUSALS as error:
            raise PeerRefuses(f"{type(error).__name__}: {error}") from error

    def _applied(self, q: torch.Tensor, output: Any, layout: str) -> NDArray[np.float32]:
        functions = list(_apply_functions(self.scope, output))
        if not functions:
            raise PeerLacks("it has no apply function that is a rotation known here")
        apply, form, meaning = next((one for one in functions if one[2].layout == layout), functions[0])
        if meaning.order == "bshd":
            q = q.transpose(1, 2)
        rotated = _whole(apply, form, q, output)
        return (rotated.transpose(1, 2) if meaning.order == "bshd" else rotated).contiguous().numpy()

    def mends(self) -> str:
        """See `tightrope.verify.audit.peers.Built.mends`: a patched model takes the configuration's word."""
        return ""


def _apply_functions(scope: dict[str, Any], output: Any) -> Iterator[tuple[Any, Form, Meaning]]:
    """Yield the apply functions of a module that take what its rotary module gives, with what they do.

    Where Hugging Face's `kernels` is installed, some of them are modules.
    """
    forms: list[Form] = (
        ["complex"] if isinstance(output, torch.Tensor) else [form for form in FORMS if form != "complex"]
    )
    for name, function in scope.items():
        if APPLY_NAME.match(name) and callable(function) and not inspect.isclass(function):
            for form in forms:
                meaning = meaning_of(function, form)
                if meaning:
                    yield function, form, meaning
                    break


def _whole(apply: Any, form: Form, q: torch.Tensor, output: Any) -> torch.Tensor:
    """Return q rotated; where the function takes only channels that rotate, the others as they are."""
    angles = (output,) if isinstance(output, torch.Tensor) else output
    names = arguments_of(apply, form)
    values = (*[q] * (len(names) - len(angles)), *angles)
    try:
        rotated = apply(**dict(zip(names, values, strict=True)))
    except RuntimeError:
        width = angles[0].shape[-1] * (2 if len(angles) == 1 else 1)
        rotated = torch.cat((_whole(apply, form, q[..., :width], output), q[..., width:]), -1)
    first: torch.Tensor = rotated[0] if isinstance(rotated, tuple) else rotated
    return first


def build(config: dict[str, Any], model: ModelRope, context: int | None = None) -> BuiltTransformers:
    """See `tightrope.verify.audit.peers.Peer.build`."""
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    fields = dict(config)
    kind = fields.pop("model_type", "")
    if kind not in CONFIG_MAPPING:
        raise PeerLacks(f"it has no model_type {kind!r}")
    try:
        text = AutoConfig.for_model(kind, **fields).get_text_config(decoder=True)
        network = build_network(text)
        if network is not None:
            return BuiltTransformers(_rotary(network, text, model), _called(network), model)
        code = importlib.import_module(type(text).__module__.replace(".configuration_", ".modeling_"))
        return BuiltTransformers(_rotary_class(code, text)(text), vars(code), model)
    except (PeerLacks, PeerRefuses):
        raise
    except ImportError as error:
        if (error.name or "").startswith("transformers."):
            raise PeerLacks(f"it has no code for this type of model ({error})") from error
        raise PeerUnusable(f"it does not import: {error}") from error  # something that it needs is broken
    except _REFUSALS as error:
        raise PeerRefuses(f"{type(error).__name__}: {error}") from error


def _rotary(network: torch.nn.Module, text: Any, rope: ModelRope) -> torch.nn.Module:
    """Return the rotary module that a model builds, with values: conditions in its code count."""
    found = rotary_modules(network, text)
    if not found:
        raise PeerLacks("it rotates without a rotary module")
    asks = "layer_type" in inspect.signature(type(found[0]).forward).parameters
    if len(rope.ropes) > 1 and not asks:
        raise PeerLacks(f"{type(found[0]).__name__} is not told for which of several ropes it is called")
    return with_values(found[0])


def _called(network: torch.nn.Module) -> dict[str, Any]:
    """Return the apply functions that the attention of a model calls, by name."""
    found = (apply_functions(type(module).forward) for module in attention_modules(network))
    return {name: call for functions in found for name, call in functions.items()}


def _rotary_class(code: ModuleType, text: Any) -> Any:
    """Return the rotary class of a family's text part."""
    classes = [
        kind
        for name, kind in vars(code).items()
        if inspect.isclass(kind) and kind.__module__ == code.__name__ and name.endswith("RotaryEmbedding")
    ]
    wanted = type(text).__name__
    fitting = [kind for kind in classes if wanted in str(inspect.signature(kind.__init__).parameters.get("config"))]
    plain = [kind for kind in classes if not any(part in kind.__name__ for part in ("Vision", "Audio"))]
    if not (fitting or plain):
        raise PeerLacks("it rotates without a rotary module")
    return (fitting or plain)[0]
