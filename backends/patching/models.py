"""One model, not the process: replace its rotary parts, undo that, and tell what was done.

Everything is planned and verified before the first attribute changes; what changes is a list of `Swap`s.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Protocol, cast

from tightrope.backends.patching.report import PatchReport
from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import Precision
from tightrope.rope.schedule import Policy, Switch

# From the package that a class comes from to the module that knows its models; the first base class found counts.
HANDLERS: Final[Mapping[str, str]] = {
    "transformers": "tightrope.backends.torch.transformers",
    "torch": "tightrope.backends.torch.transformers",
    "mlx_lm": "tightrope.backends.mlx.mlx_lm",
    "mlx_vlm": "tightrope.backends.mlx.mlx_vlm",
    "mlx": "tightrope.backends.mlx.mlx_lm",
}

_RECORD: Final = "_tightrope_patch"


class Absent:
    """Stands for an attribute that an object did not have of its own."""


@dataclass(frozen=True)
class Swap:
    """One attribute of one object, before and after."""

    owner: Any
    name: str
    new: Any
    old: Any = Absent

    def apply(self) -> None:
        """Set the new value."""
        setattr(self.owner, self.name, self.new)

    def undo(self) -> None:
        """Set the old value, or remove the attribute where there was none."""
        if self.old is Absent:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.old)

    def holds(self) -> bool:
        """Say whether the new value is still in place."""
        return getattr(self.owner, self.name, None) is self.new


@dataclass(frozen=True)
class Options:
    """How the replacements rotate; see `tightrope.backends.shared.rotary.RotaryBase`.

    Attributes:
        precision: `"exact"` or `"float32"`.
        policy: `"row"` or `"transformers"`.
        switch: `"auto"`, `"short"` or `"long"`.
        verify: Raise where the model's own modules rotate otherwise than its configuration says.
    """

    precision: Precision = "exact"
    policy: Policy = "row"
    switch: Switch = "auto"
    verify: bool = True

    def rotary(self) -> dict[str, Any]:
        """Return the arguments of `RotaryEmbedding`."""
        return {"precision": self.precision, "policy": self.policy, "switch": self.switch}


@dataclass(frozen=True)
class PatchPlan:
    """What a handler would change, and what it would say about it."""

    swaps: tuple[Swap, ...]
    report: PatchReport


class Handler(Protocol):
    """What a module of `HANDLERS` offers."""

    def plan(self, model: Any, config: object, options: Options) -> PatchPlan:
        """Return what to change, having changed nothing.

        Raises:
            RopeConfigError: There is a doubt; the message names it.
        """


def patch(
    model: Any,
    config: object = None,
    *,
    precision: Precision = "exact",
    policy: Policy = "row",
    switch: Switch = "auto",
    verify: bool = True,
) -> PatchReport:
    """Let Tightrope rotate a loaded model's queries and keys; other models of the process keep their own code.

    Weights, caches and everything else stay as they are. A key cache that the model filled before is to be dropped.

    Args:
        model: A transformers, mlx-lm or mlx-vlm model.
        config: What `tightrope.read` takes, or a `ModelRope`; by default the model's own configuration. A model of
            mlx-lm has forgotten the keys that mlx-lm does not know: it needs one where that matters, see `load_mlx`.
        precision: See `RotaryEmbedding`.
        policy: See `RotaryEmbedding`.
        switch: See `RotaryEmbedding`.
        verify: In transformers: raise where the model's own modules rotate otherwise than its configuration says, by
            more than float32 rounding. False takes the configuration's word.

    Returns:
        What was replaced, layer by layer, which code rotates there, and what was left alone and why.

    Raises:
        RopeConfigError: The model cannot be patched, or there is a doubt. Nothing was changed.
    """
    if _find_record(model) is not None:
        raise RopeConfigError("this model is patched already; tightrope.unpatch(model) first")
    plan = _handler(model).plan(model, config, Options(precision, policy, switch, verify))
    _apply(plan.swaps)
    setattr(model, _RECORD, plan)
    return plan.report


def unpatch(model: Any) -> None:
    """Give a model back what `patch` replaced: the very same objects.

    Raises:
        RopeConfigError: It is not patched, or something else replaced those parts since. Nothing was changed.
    """
    owner = _find_record(model)
    if owner is None:
        raise RopeConfigError("this model is not patched")
    swaps = _record(owner).swaps
    moved = [swap.name for swap in swaps if not swap.holds()]
    if moved:
        raise RopeConfigError(
            f"{moved[0]} of {len(moved)} patched parts was replaced again after tightrope.patch; undo that first"
        )
    for swap in reversed(swaps):
        swap.undo()
    delattr(owner, _RECORD)


@contextmanager
def patched(model: Any, config: object = None, **options: Any) -> Iterator[PatchReport]:
    """Patch a model for the length of a with-statement; see `patch`."""
    report = patch(model, config, **options)
    try:
        yield report
    finally:
        unpatch(model)


def own_config(config: object) -> ModelRope:
    """Return a configuration that a caller gave, read unless it is read already."""
    from tightrope.rope.reading import read  # reading builds on much of the core; only patching needs it here

    return config if isinstance(config, ModelRope) else read(config)


def _handler(model: Any) -> Handler:
    for cls in type(model).__mro__:
        module = HANDLERS.get(cls.__module__.partition(".")[0])
        if module is not None:
            return cast(Handler, import_module(module))
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    raise RopeConfigError(f"model must be a transformers, mlx-lm or mlx-vlm model, got {kind}")


def _apply(swaps: tuple[Swap, ...]) -> None:
    """Apply all swaps or none."""
    done: list[Swap] = []
    try:
        for swap in swaps:
            swap.apply()
            done.append(swap)
    except BaseException:
        for swap in reversed(done):
            swap.undo()
        raise


def _find_record(model: Any) -> Any:
    """Return the part of a model that carries the record: the model itself, or what a wrapper such as PEFT's holds."""
    modules = model.modules() if callable(getattr(model, "modules", None)) else ()
    return next((module for module in modules if _RECORD in vars(module)), None)


def _record(owner: Any) -> PatchPlan:
    plan: PatchPlan = vars(owner)[_RECORD]
    return plan
