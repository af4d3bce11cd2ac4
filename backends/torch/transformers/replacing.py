"""What takes the place of a rotary module and of the attention that uses it."""

import copyreg
import types
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import torch

from tightrope.backends.patching.changes import Swap
from tightrope.backends.patching.models import Options
from tightrope.backends.torch.transformers.places import RotaryPlace
from tightrope.backends.torch.transformers.rotary import NOT_PICKLED, HFRotary
from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import RopeConfigError


def swaps_of(place: RotaryPlace, rope: ModelRope, options: Options) -> Iterator[Swap]:
    """Yield what changes for one rotary module and its users.

    Args:
        place: The rotary module.
        rope: The angles that it gives.
        options: How it rotates.
    """
    fused_throughout = bool(place.users) and all(user.method for user in place.users)
    new = HFRotary(rope, form=place.form, in_float32=fused_throughout, **options.rotary())
    yield Swap(place.owner, place.name, new.standing_for(place.module), place.module)
    # One class for all layers of a class: a compiler then compiles it once.
    classes: dict[tuple[type, Any], type] = {}
    for user in place.users:
        if user.method is not None:
            kind = type(user.module), user.method
            yield _method_swap(user.module, user.method, classes.setdefault(kind, _with_forward(*kind)))


def buffer_swaps(model: torch.nn.Module, replaced: list[torch.nn.Module]) -> Iterator[Swap]:
    """Yield what keeps DDP from sending buffers that are gone with the replaced modules.

    It finds out from the list that it made when it wrapped the model whether there are any, and fails where none is
    left; where some are it makes the list again by itself.
    """
    gone = {id(buffer) for module in replaced for buffer in module.buffers()}
    for module in model.modules():
        sent = getattr(module, "modules_buffers", None)
        if isinstance(module, torch.nn.parallel.DistributedDataParallel) and sent and gone.issuperset(map(id, sent)):
            yield Swap(module, "modules_buffers", [], sent, main=False)


class Patched(type):
    """The type of classes that patching makes; pickle would look for them in the module of the original."""


def _refuse_to_pickle(cls: type) -> NoReturn:
    raise RopeConfigError(NOT_PICKLED)


copyreg.pickle(Patched, _refuse_to_pickle)


def _with_forward(cls: type, method: Callable[..., Any]) -> type:
    """Return a class that differs from cls in its forward method: what copies an instance binds it to the copy."""
    names = {"forward": method, "__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    kind = Patched if type(cls) is type else type(cls)
    return kind(cls.__name__, (cls,), names)


def _method_swap(module: torch.nn.Module, method: Callable[..., Any], cls: type) -> Swap:
    """Return what lets a module use the method."""
    # accelerate's hooks keep the method that they wrap under this name and call it there.
    hooked = vars(module).get("_old_forward")
    if hooked is not None:
        return Swap(module, "_old_forward", types.MethodType(method, module), hooked, main=False)
    return Swap(module, "__class__", cls, type(module), main=False, unless="forward")
