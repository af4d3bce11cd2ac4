"""Tightrope inside a transformers model: which of its parts rotate, and what takes their place."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from typing import Any, Final

import torch

from tightrope.backends.patching.models import Options, PatchPlan, own_config
from tightrope.backends.patching.report import PartReport, PatchReport, in_words
from tightrope.backends.torch import interop as host
from tightrope.backends.torch.transformers.apply import APPLY_NAME, Meaning, fused, meaning_of
from tightrope.backends.torch.transformers.forward import apply_functions, rebound
from tightrope.backends.torch.transformers.places import (
    UNTOUCHED,
    RotaryPlace,
    User,
    inner_model,
    require_shape,
    rotary_places,
    text_config,
)
from tightrope.backends.torch.transformers.probe import find_form
from tightrope.backends.torch.transformers.replacing import buffer_swaps, swaps_of
from tightrope.backends.torch.transformers.rotary import HFRotary
from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import RopeConfigError, RopeError
from tightrope.rope.reading import read
from tightrope.rope.schedule import FrequencySchedule

__all__ = ["HFRotary", "plan"]

_PACKED: Final = (
    "the frequencies follow the length: documents packed into one row have each its own where positions restart; an "
    "upward jump within a row, as in decode steps of generate_batch, is taken for a gap in one document"
)


def plan(model: torch.nn.Module, config: object, options: Options) -> PatchPlan:
    """Return what `tightrope.patch` changes in a transformers model; see `tightrope.backends.patching.patch`."""
    given, model = model, inner_model(model)
    if options.layers is not None:
        raise RopeConfigError(f"layers is for parts of MLX models: those of transformers know their own. {UNTOUCHED}")
    text = text_config(model)
    places = list(rotary_places(model))
    for place in places:
        _settle(place, text, config, options)
    if not any(place.rope for place in places):
        raise RopeConfigError(f"{_title(model)} has no rotary module to replace{_own_rotation(model)}. {UNTOUCHED}")
    _settle_users(model, places)
    served = [(place, place.rope) for place in places if place.rope]
    swaps = [swap for place, rope in served for swap in swaps_of(place, _angles_of(rope), options)]
    swaps += buffer_swaps(given, [place.module for place, _ in served])
    notes = [note for _, rope in served for note in rope.notes]
    notes += [_PACKED for _, rope in served if options.policy == "row" and _follows_length(rope, options)]
    notes += [f"{place.path}: {place.why}" for place, _ in served if place.why]
    parts = tuple(part for place in places for part in _parts(place))
    return PatchPlan(tuple(swaps), PatchReport(_title(model), parts, tuple(dict.fromkeys(notes))))


def _own_rotation(model: Any) -> str:
    """Return, as the end of a sentence, why there is no rotary module: GPT-J and RoFormer rotate layer by layer."""
    for module in model.modules():
        names = {name for cls in type(module).__mro__ for name in vars(cls) if APPLY_NAME.match(name)}
        if names or apply_functions(type(module).forward):
            return f": {type(module).__name__} applies its own rotation function"
    try:
        rope = read(text_config(model))
        why = "" if rope.ropes else "; ".join(rope.notes)
    except RopeError:
        why = ""
    return f": {why or 'nothing in its code rotates queries and keys'}"


def _follows_length(rope: ModelRope, options: Options) -> bool:
    return any(not FrequencySchedule(one, options.policy, options.switch).fixed for one in rope.ropes.values())


def _title(model: torch.nn.Module) -> str:
    return f"{type(model).__name__} (transformers {metadata.version('transformers')})"


def _settle(place: RotaryPlace, text: Any, config: object, options: Options) -> None:
    """Decide what becomes of a rotary module: it is served, left alone with a reason, or an error."""
    own = getattr(place.module, "config", None)
    is_text = type(own) is type(text)
    try:
        require_shape(place)
        rope = own_config(config) if is_text and config is not None else read(own)
        if not rope.ropes:
            raise RopeConfigError(f"the configuration of {place.path} says that nothing is rotated. {UNTOUCHED}")
        if any(one.is_axial for one in rope.ropes.values()):
            raise RopeConfigError(f"{place.path} rotates patches by row and column, which is left to it. {UNTOUCHED}")
        place.form, place.why = find_form(place.module, _angles_of(rope), place.path, verify=options.verify)
    except RopeConfigError as error:
        if is_text:
            raise
        place.why = f"not a text decoder's: {error.problems[0].split('. ')[0]}"
    else:
        place.rope = rope


def _angles_of(rope: ModelRope) -> ModelRope:
    """Return the ropes as cos and sin are computed: the direction is a matter of the function that applies them."""
    return replace(rope, ropes={key: value.replace(direction=1) for key, value in rope.ropes.items()})


def _settle_users(model: torch.nn.Module, places: list[RotaryPlace]) -> None:
    """Give each attention module to the nearest rotary module above it, with a forward method that rotates once."""
    known: dict[tuple[type, str], tuple[Callable[..., Any] | None, str]] = {}
    for path, module in model.named_modules():
        functions = apply_functions(type(module).forward)
        above = [place for place in places if _within(path, place.path.rpartition(".")[0])]
        if not functions or not above:
            continue
        place = max(above, key=lambda candidate: len(candidate.path))
        user = User(module, path)
        place.users.append(user)
        if place.rope:
            _require_own_forward(module)
            kind: tuple[type, str] = type(module), place.path
            if kind not in known:
                known[kind] = _fused_forward(type(module), functions, place)
            user.method, user.why = known[kind]


def _require_own_forward(module: torch.nn.Module) -> None:
    """Raise where something else than accelerate's hooks replaced the forward method of an attention module."""
    if "forward" in vars(module) and "_old_forward" not in vars(module):
        raise RopeConfigError(
            f"{type(module).__name__}.forward was replaced by something else; undo that first. {UNTOUCHED}"
        )


def _within(path: str, above: str) -> bool:
    return not above or path == above or path.startswith(f"{above}.")


def _fused_forward(
    attention: Any, functions: dict[str, Callable[..., Any]], place: RotaryPlace
) -> tuple[Callable[..., Any] | None, str]:
    """Return a forward method that uses the fused rotation, or None and why there is none."""
    meanings = {name: meaning_of(function, place.form) for name, function in functions.items()}
    known = {name: meaning for name, meaning in meanings.items() if meaning}
    if len(known) < len(meanings):
        return None, f"{', '.join(sorted(meanings.keys() - known.keys()))} is no rotation known here"
    _require_meant(attention, place, set(known.values()))
    replacements = {name: fused(functions[name], place.form, meaning) for name, meaning in known.items()}
    forward = rebound(attention.forward, replacements)
    return forward, "" if forward else "its forward method is wrapped"


def _require_meant(attention: type, place: RotaryPlace, meanings: set[Meaning]) -> None:
    """Raise where attention pairs channels, or rotates, differently from what the configuration says."""
    said = {(rope.layout, rope.direction) for rope in place.rope.ropes.values()} if place.rope else set()
    done = {(meaning.layout, -1 if meaning.transpose else 1) for meaning in meanings}
    if not said <= done and "indexer" not in attention.__name__.lower():
        raise RopeConfigError(
            f"{attention.__name__} rotates by {sorted(done)}, the configuration says {sorted(said)} (layout, "
            f"direction). {UNTOUCHED}"
        )


def _parts(place: RotaryPlace) -> Iterator[PartReport]:
    """Yield what to say about one rotary module and its users."""
    if place.rope is None:
        yield PartReport(place.path, None, None, "left alone", why=place.why)
        return
    if not place.users:
        yield PartReport(place.path, None, in_words(place.rope), "angles", host.path(_device(place.module)))
    for user in place.users:
        layer = getattr(user.module, "layer_idx", None)
        layers = place.rope.layers
        key = layers[layer] if isinstance(layer, int) and layer < len(layers) else next(iter(place.rope.ropes))
        part = PartReport(user.path, layer, None, "angles", why=user.why)
        if user.method is not None:
            part = replace(part, action="angles and rotation", path=host.path(_device(user.module)))
        yield part if key is None else replace(part, rope=in_words(place.rope.ropes[key]))


def _device(module: torch.nn.Module) -> str:
    tensors = [*module.parameters(), *module.buffers()]
    return str(tensors[0].device) if tensors else "cpu"
