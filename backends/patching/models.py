"""One model, not the process: replace its rotary parts, undo that, and report what was done.

Everything is planned and verified before the first attribute changes; see `changes`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from os import PathLike
from typing import Any, Final, Protocol, cast

from tightrope.backends.patching.changes import PATCHED, Changes, Swap
from tightrope.backends.patching.report import PatchReport
from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.frequencies import Precision
from tightrope.rope.schedule import Policy, Switch
from tightrope.rope.support.called import told_in_words

# From the package that a class comes from to the module that knows its models; the first base class found counts.
HANDLERS: Final[Mapping[str, str]] = {
    "transformers": "tightrope.backends.torch.transformers",
    "torch": "tightrope.backends.torch.transformers",
    "mlx_lm": "tightrope.backends.mlx.mlx_lm",
    "mlx_vlm": "tightrope.backends.mlx.mlx_vlm",
    "mlx": "tightrope.backends.mlx.mlx_lm",
}
# What no part of a model is without, in PyTorch and in MLX.
_METHODS: Final = ("named_modules", "parameters")


@dataclass(frozen=True)
class Options:
    """How the replacements rotate; see `tightrope.backends.shared.rotary.RotaryBase`.

    Attributes:
        precision: `"exact"` or `"float32"`.
        policy: `"row"` or `"transformers"`.
        switch: `"auto"`, `"short"` or `"long"`.
        verify: Raise where the model's own modules rotate differently from what its configuration says.
        layers: Which layers of the configuration a part of a model has, in order; None: it knows, or has all.
    """

    precision: Precision = "exact"
    policy: Policy = "row"
    switch: Switch = "auto"
    verify: bool = True
    layers: Sequence[int] | None = None

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


@told_in_words
def patch(
    model: Any,
    config: object = None,
    *,
    precision: Precision = "exact",
    policy: Policy = "row",
    switch: Switch = "auto",
    verify: bool = True,
    layers: Sequence[int] | None = None,
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
        verify: In transformers: raise where the model's own modules rotate differently from what its configuration
            says, by more than float32 rounding. False takes the configuration's word.
        layers: For a part of an MLX model, which an engine cut out: the layers of the configuration that it has, such
            as range(4, 8). Pipelines of mlx-lm say so themselves.

    Returns:
        What was replaced, layer by layer, which code rotates there, and what was left alone and why.

    Raises:
        RopeConfigError: The model cannot be patched, or there is a doubt. Nothing was changed.
    """
    plan = _plan(model, config, Options(precision, policy, switch, verify, layers))
    Changes.planned(plan.swaps, plan.report).make()
    return plan.report


def unpatch(model: Any) -> None:
    """Give a model back what `patch` replaced: the very same objects.

    Any object serves that holds the patched parts: the model itself, its inner model, what wraps it or what a wrapper
    left of it. A call that was interrupted is simply repeated.

    Raises:
        RopeConfigError: It is not patched, or something else replaced those parts since. Nothing was changed.
    """
    _require_loaded(model)
    changes = Changes.found(model)
    if not changes:
        raise RopeConfigError("this model is not patched")
    changes.undo()


@contextmanager
def patched(model: Any, config: object = None, **options: Any) -> Iterator[PatchReport]:
    """Patch a model for the length of a with-statement; see `patch`."""
    plan = _plan(model, config, told_in_words(Options, "patched")(**options))
    changes = Changes.planned(plan.swaps, plan.report)
    try:
        changes.make()
        yield plan.report
    finally:
        changes.undo()


def own_config(config: object) -> ModelRope:
    """Return a configuration that a caller gave, read unless it is read already."""
    from tightrope.rope.reading import read  # reading builds on much of the core; only patching needs it here

    return config if isinstance(config, ModelRope) else read(config)


def _plan(model: Any, config: object, options: Options) -> PatchPlan:
    """Return what to change in a model that is not patched yet."""
    _require_loaded(model)
    handler = _handler(model)
    try:
        plan = None if Changes.found(model) else handler.plan(model, config, options)
    except RopeConfigError:
        if not Changes.found(model):
            raise
        plan = None  # another thread was patching it, so that half of it looked odd
    if plan is None:
        raise RopeConfigError(PATCHED)
    return plan


def _require_loaded(model: Any) -> None:
    """Raise where a caller gave a class, or a path, in place of a model that is loaded."""
    if isinstance(model, type):
        made = f"{model.__name__}.from_pretrained(…)" if hasattr(model, "from_pretrained") else f"{model.__name__}(…)"
        raise RopeConfigError(f"model must be a loaded model, got the class {model.__name__}: give {made}")
    if isinstance(model, str | PathLike):
        raise RopeConfigError(
            f"model must be a loaded model, got {shortened(model)}: load it first, with "
            "transformers.AutoModelForCausalLM.from_pretrained(…), or with tightrope.load_mlx(…), which patches it too"
        )


def _handler(model: Any) -> Handler:
    for cls in type(model).__mro__:
        module = HANDLERS.get(cls.__module__.partition(".")[0])
        if module is not None and all(callable(getattr(model, name, None)) for name in _METHODS):
            return cast(Handler, import_module(module))
    kind = f"{type(model).__module__}.{type(model).__qualname__}".removeprefix("builtins.")
    raise RopeConfigError(f"model must be a transformers, mlx-lm or mlx-vlm model, got {kind}")
