"""Does a model's own rotary module rotate as its configuration says? Found out by calling a copy of it."""

import copy
import inspect
from collections.abc import Iterator
from typing import Any, Final, cast

import numpy as np
import torch

from tightrope.backends.patching.report import in_words
from tightrope.backends.torch.transformers.legacy import legacy_names
from tightrope.backends.torch.transformers.rotary import FORMS, Form, HFRotary, table_of
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import frequencies

# Positions of one call each: at the start, far on, and (where tables switch) beyond the switch.
_CALLS: Final = ((0, 1, 2, 3, 77), (4093, 4094, 4095))

# Relative to the angle: two float32 ulp of the frequency (2 · 2⁻²³) and the rounding of its product (2⁻²⁴).
_ANGLE: Final = 5 * 2.0**-24
# Of cos and sin themselves: the framework's cos (2 ulp) and the product with the attention factor.
_VALUE: Final = 3 * 2.0**-23


def find_form(module: torch.nn.Module, model: ModelRope, path: str, *, verify: bool = True) -> tuple[Form, str]:
    """Return how a rotary module lays out cos and sin, and a remark where its numbers could not be trusted.

    Args:
        module: A rotary module of transformers; a copy is called.
        model: What its configuration says.
        path: Where it is, for messages.
        verify: Raise where it rotates differently from what the configuration says.

    Raises:
        RopeConfigError: Its output has no known form or is one of several ropes; or, with verify, other values.
    """
    _require_told_apart(module, model, path)
    trouble = _trouble(module)
    if trouble and verify and trouble != _NO_VALUES:
        raise RopeConfigError(
            f"{path}: {trouble}, as memory that nothing was written to: loading by way of the meta device leaves such "
            "buffers. Build the model anew, or pass verify=False to take the configuration's word. Nothing was changed"
        )
    sound = _anew(module, path) if trouble or not verify else module
    form = _require_form(sound, model, path)
    worst = _difference(sound if trouble else module, model, form)
    remark = f"{trouble}; a new module of its class was compared" if trouble else ""
    if worst <= 1:
        return form, remark
    remark = f"its own cos and sin differ from the configuration's by {worst:.2g} times what float32 rounding explains"
    if verify:
        raise RopeConfigError(
            f"{path} does not rotate as its configuration says ({in_words(model)}): {remark}. Was the configuration "
            "changed after the model was built, or inv_freq overwritten, or never initialised? Build the model anew, "
            "or pass verify=False to take the configuration's word. Nothing was changed"
        )
    return form, remark


_NO_VALUES: Final = "its own tables have no values yet"


def _trouble(module: torch.nn.Module) -> str:
    """Return why the tables of a rotary module cannot be what its class computed; "" where they can."""
    if any(buffer.is_meta for buffer in module.buffers()):
        return _NO_VALUES
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point() and buffer.numel():
            if not buffer.isfinite().all():
                return f"its {name} is not finite"
            if not buffer.any():
                return f"its {name} is all zero"
    return ""


def _anew(module: torch.nn.Module, path: str) -> torch.nn.Module:
    """Return a new instance of a rotary module's class, whose tables are what the class computes."""
    build: Any = type(module)
    try:
        with torch.device("cpu"), legacy_names():  # code of transformers 4 asks for them again
            made: torch.nn.Module = build(module.config)
    except Exception as error:  # whatever the library's own class raises
        raise RopeConfigError(
            f"{path}: no new {build.__name__} can be made of its configuration, to see what it computes "
            f"({type(error).__name__}: {error}). Nothing was changed"
        ) from error
    return made


def _asks(module: torch.nn.Module) -> bool:
    """Return whether a rotary module is called with the layer type."""
    return "layer_type" in inspect.signature(type(module).forward).parameters


def _require_told_apart(module: torch.nn.Module, model: ModelRope, path: str) -> None:
    """Raise where a module has one of several ropes, and only the model's own code knows which (Molmo 2)."""
    if len(model.ropes) > 1 and not _asks(module):
        keys = ", ".join(map(repr, model.ropes))
        raise RopeConfigError(
            f"{path} ({type(module).__name__}) is not asked for a layer_type: which of the ropes {keys} it gives to "
            "which layer is in the model's own code, and cannot be told. Leave this model unpatched, or rotate in its "
            "attention by RotaryEmbedding(tightrope.read(config)).for_layer(layer). Nothing was changed"
        )


def _layer_types(module: torch.nn.Module, model: ModelRope) -> list[str | None]:
    """Return what to pass as layer_type: every rope that the module has, where it asks for one."""
    if not _asks(module):
        return [None]
    own = getattr(module, "rope_type", None)
    return [key for key in model.ropes if key in own] if isinstance(own, dict) else list(model.ropes)


def _call(module: torch.nn.Module, positions: torch.Tensor, layer_type: str | None) -> Any:
    """Call a rotary module of transformers past the hooks that others may have put on it."""
    device = next((buffer.device for buffer in module.buffers()), torch.get_default_device())
    x = torch.zeros(1, positions.shape[-1], 1, device=device)
    arguments = {} if layer_type is None else {"layer_type": layer_type}
    return type(module).forward(module, x, positions.to(device), **arguments)


def _calls(rope: RopeConfig) -> Iterator[torch.Tensor]:
    switch = rope.scaling.switch_length(rope)
    beyond = () if switch is None else ((switch, switch + 1),)
    for positions in (*_CALLS, *beyond):
        yield torch.tensor([positions])


def _require_form(module: torch.nn.Module, model: ModelRope, path: str) -> Form:
    """Return the form of what a rotary module gives, after a check that it is as wide as the configuration says."""
    theirs = copy.deepcopy(module)
    forms: set[Form | None] = set()
    for layer_type in _layer_types(module, model):
        rope = _rope(model, layer_type)
        output = _call(theirs, next(_calls(rope)), layer_type)
        form = form_of(output)
        if form is None or table_of(form, output).pairs != rope.pairs:
            shapes = [
                tuple(getattr(part, "shape", ())) for part in (output if isinstance(output, tuple) else (output,))
            ]
            raise RopeConfigError(
                f"{path} ({type(module).__name__}) gives {shapes} for "
                f"{len(_CALLS[0])} positions, which is no form of {in_words(rope)}. Nothing was changed"
            )
        forms.add(form)
    if len(forms) != 1:
        raise RopeConfigError(
            f"{path} ({type(module).__name__}) gives cos and sin in several forms. Nothing was changed"
        )
    return cast(Form, forms.pop())


def form_of(output: Any) -> Form | None:
    """Return how cos and sin of several positions are laid out, None where it is no form known here."""
    if isinstance(output, torch.Tensor):
        return "complex" if output.is_complex() else None
    if not isinstance(output, tuple) or len(output) != 2 or not all(isinstance(part, torch.Tensor) for part in output):
        return None
    sin, width = output[1], output[1].shape[-1]
    if width % 2:
        return "single"
    if torch.equal(sin[..., : width // 2], sin[..., width // 2 :]):
        return "halves"
    return "pairs" if torch.equal(sin[..., ::2], sin[..., 1::2]) else "single"


def _difference(module: torch.nn.Module, model: ModelRope, form: Form) -> float:
    """Return the largest difference of cos and sin in units of what rounding explains."""
    ours, theirs = _reference(model, form), copy.deepcopy(module)
    # A model cast to bfloat16 by `.to` has rounded its inv_freq too; that is fixed, and no contradiction.
    precision = max((torch.finfo(b.dtype).eps for b in module.buffers() if b.is_floating_point()), default=0.0)
    angle = 2 * precision if precision > torch.finfo(torch.float32).eps else _ANGLE
    worst = 0.0
    for layer_type in _layer_types(module, model):
        rope = _rope(model, layer_type)
        for positions in _calls(rope):
            a = _real(ours(torch.zeros(1), positions, layer_type))
            b = _real(_call(theirs, positions, layer_type)).cpu()
            bound = _VALUE * max(1.0, a.norm(dim=0).max().item()) + angle * _angles(rope, positions, form)
            worst = max(worst, ((a - b).abs() / bound).max().item())
    return worst


def _angles(rope: RopeConfig, positions: torch.Tensor, form: Form) -> torch.Tensor:
    """Return position · inv_freq of each channel of cos and sin."""
    inv_freq = frequencies(rope, int(positions.max()) + 1).inv_freq
    angles = positions[..., None] * torch.from_numpy(np.abs(inv_freq)).float()
    return _real(FORMS[form](angles, angles))


def _real(output: Any) -> torch.Tensor:
    """Return cos and sin stacked."""
    if isinstance(output, torch.Tensor):
        return torch.stack((output.real, output.imag)).float()
    return torch.stack(tuple(output)).float()


def _reference(model: ModelRope, form: Form) -> HFRotary:
    return HFRotary(model, form=form, in_float32=True, precision="float32", policy="transformers")


def _rope(model: ModelRope, layer_type: str | None) -> RopeConfig:
    return next(iter(model.ropes.values())) if layer_type is None or len(model.ropes) == 1 else model.rope(layer_type)
