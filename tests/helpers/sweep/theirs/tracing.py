"""What attention really does: a whole model runs on PyTorch's meta device, where tensors have shapes and no values.

Every call of a rotating function is noted: in which layer, which function, which channels of a head it was handed, and
which of the rotary module's results. It costs no memory and no arithmetic, so the default configurations will do.
"""

import contextlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType

import torch

from sweep.subjects.discovery import RotaryClass

ROTATES = re.compile(r"^_?apply_rotary|^apply_multidimensional_rope$")
MASK = re.compile(r"^create_\w*mask")
DENSE_MASK = re.compile(r"causal|sliding|bidirectional|chunked")
FEED_FORWARD = re.compile(r"(MLP|MoE|MoeBlock|FeedForward|Experts|Router)$")
TOKENS = 4


@dataclass(frozen=True)
class Call:
    """One call of a rotating function.

    Attributes:
        layer: Index of the layer, None outside the layers.
        function: Its name.
        width: Channels that it was handed.
        start: The first of them within the tensor that they were cut from; None where it was made anew.
        label: The layer type that the rotary module was asked for; None where it takes none.
    """

    layer: int | None
    function: str
    width: int
    start: int | None
    label: str | None


@dataclass
class Trace:
    """All calls of one run, and the module of the layers."""

    calls: list[Call] = field(default_factory=list)
    layers: int = 0

    def by_layer(self) -> list[list[Call]]:
        """Return the calls of each layer."""
        return [[call for call in self.calls if call.layer == layer] for layer in range(self.layers)]


class NotRunnableError(Exception):
    """The model cannot be built from this configuration, or not run without data."""


def trace(rotary: RotaryClass, config) -> Trace:
    """Run the model that owns a rotary class and note what it rotates.

    Raises:
        NotRunnableError: with what PyTorch or transformers said.
    """
    module = rotary.module
    reasons = []
    for owner in owners(rotary, type(config)):
        try:
            return _run(module, owner, config)
        except Exception as error:  # whatever it is, it is the reason
            reasons.append(f"{owner.__name__}: {type(error).__name__}: {str(error)[:120]}")
    raise NotRunnableError("; ".join(reasons) or "no model class builds it")


def owners(rotary: RotaryClass, config: type) -> list[type]:
    """Return the model classes that build a rotary class from this configuration."""
    found = []
    for cls in vars(rotary.module).values():
        if inspect.isclass(cls) and issubclass(cls, torch.nn.Module) and "__init__" in vars(cls):
            init = inspect.unwrap(cls.__init__)
            annotation = inspect.signature(init).parameters.get("config")
            if (
                rotary.cls.__name__ in init.__code__.co_names
                and annotation
                and annotation.annotation in (config, config.__name__)
            ):
                found.append(cls)
    return found


def _run(module: ModuleType, owner: type, config) -> Trace:
    result = Trace()
    with _defaults(), _noting(module, result) as state:
        config._attn_implementation = "eager"
        with torch.device("meta"):
            model = owner(config).eval()
        _watch(model, config, result, state)
        model(**_inputs(model, config))
    return result


@contextlib.contextmanager
def _defaults() -> Iterator[None]:
    """bfloat16, as checkpoints have it: the grouped products of experts take nothing else."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def _noting(module: ModuleType, result: Trace) -> Iterator[dict]:
    """Replace the rotating functions of a module by ones that note their calls, and its masks by empty ones."""
    state = {"layer": None, "labels": [], "inside": False}
    saved = {name: item for name, item in vars(module).items() if inspect.isfunction(item)}
    for name, function in saved.items():
        if ROTATES.match(name):
            setattr(module, name, _noted(function, state, result))
        elif MASK.match(name):
            setattr(module, name, _empty_mask if DENSE_MASK.search(name) else lambda *_, **__: None)
    try:
        yield state
    finally:
        for name, function in saved.items():
            setattr(module, name, function)


def _empty_mask(*_, **__) -> torch.Tensor:
    return torch.zeros(1, 1, TOKENS, TOKENS, device="meta")


def _noted(function, state: dict, result: Trace):
    def noted(*arguments, **options):
        tensors = [value for value in (*arguments, *options.values()) if torch.is_tensor(value)]
        if not state["inside"]:
            x = tensors[0]
            label = next((label for cos, label in state["labels"] if any(cos is tensor for tensor in tensors)), None)
            start = None if x._base is None else x.storage_offset() % x._base.shape[-1]
            result.calls.append(Call(state["layer"], function.__name__, x.shape[-1], start, label))
        state["inside"], before = True, state["inside"]
        try:
            return function(*arguments, **options)
        finally:
            state["inside"] = before

    return noted


def _watch(model, config, result: Trace, state: dict) -> None:
    """Hook the layers, the rotary modules, and the feed-forward parts, some of which need values to route by."""
    count = getattr(config, "num_hidden_layers", None)
    lists = [item for item in model.modules() if isinstance(item, torch.nn.ModuleList)]
    layers = next((item for item in lists if len(item) == count), [])
    result.layers = len(layers)
    for index, layer in enumerate(layers):
        layer.register_forward_pre_hook(lambda *_, index=index: state.update(layer=index))
    for item in model.modules():
        if "Rotary" in type(item).__name__:
            item.register_forward_hook(_labelled(state), with_kwargs=True)
        elif FEED_FORWARD.search(type(item).__name__) and item not in layers:
            item.forward = _tolerant(item.forward)


def _labelled(state: dict):
    def hook(module, arguments, options, output):
        label = options.get("layer_type", arguments[2] if len(arguments) > 2 else None)
        for cos in output if isinstance(output, tuple) else (output,):
            state["labels"].append((cos, label))

    return hook


def _tolerant(forward):
    def tolerant(*arguments, **options):
        try:
            return forward(*arguments, **options)
        except Exception:  # routing needs values; what it returns has the shape of what it got
            return next(value for value in (*arguments, *options.values()) if torch.is_tensor(value))

    return tolerant


def _inputs(model, config) -> dict:
    """Return token ids, or hidden states where the model takes none."""
    takes = inspect.signature(model.forward).parameters
    options = {"use_cache": False} if "use_cache" in takes else {}
    if "input_ids" in takes:
        return {"input_ids": torch.zeros(1, TOKENS, dtype=torch.long, device="meta"), **options}
    name = next(name for name in ("inputs_embeds", "hidden_states") if name in takes)
    return {name: torch.zeros(1, TOKENS, config.hidden_size, device="meta"), **options}
