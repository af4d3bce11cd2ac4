"""Every rule of a `RopeConfig` and of a `ModelRope`; those of one rope type stand in its own module."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from tightrope.rope.errors import shortened
from tightrope.rope.mrope import MRope
from tightrope.rope.query_scale import QueryScale
from tightrope.rope.rules import instance, is_one_of, list_of, number, one_of, positive_integer
from tightrope.rope.scaling import Scaling

if TYPE_CHECKING:
    from tightrope.rope.config import ModelRope, RopeConfig

Layout = Literal["half", "interleaved", "halves"]
Side = Literal["head", "tail"]

LAYOUTS: tuple[Layout, ...] = ("half", "interleaved")
"""What a kernel takes; a rotation in layout "halves" is two in layout "half"."""
ALL_LAYOUTS: tuple[Layout, ...] = (*LAYOUTS, "halves")
SIDES: tuple[Side, ...] = ("head", "tail")
AXIAL_TYPES = ("default", "linear")

# Published heads have up to 576 channels; from some millions on, the frequencies alone would seem to hang.
WIDEST = 2**20


def rope_problems(rope: "RopeConfig") -> Iterator[str]:
    """Yield what is wrong with the fields of one rope, but for what its rope type asks of them."""
    for name in ("head_dim", "rotary_dim"):
        yield from positive_integer(name, getattr(rope, name))
    for name in ("max_position_embeddings", "frequency_dim"):
        if getattr(rope, name) is not None:
            yield from positive_integer(name, getattr(rope, name))
    yield from number("base", rope.base, above=0)
    yield from one_of("layout", rope.layout, ALL_LAYOUTS)
    yield from one_of("side", rope.side, SIDES)
    yield from one_of("direction", rope.direction, (1, -1))
    yield from one_of("fractional", rope.fractional, (True, False))
    yield from instance("mrope", rope.mrope, MRope | None, "an MRope(sections=(16, 24, 24)), or None for one axis")
    yield from instance("scaling", rope.scaling, Scaling, "a rope type such as Default() or Yarn(factor=4.0)")
    yield from _type_problems(rope)
    if isinstance(rope.rotary_dim, int) and isinstance(rope.head_dim, int):
        yield from _width_problems(rope)


def _type_problems(rope: "RopeConfig") -> Iterator[str]:
    """Yield where the rope type and the positions do not go together."""
    if not isinstance(rope.scaling, Scaling):
        return
    if isinstance(rope.mrope, MRope) and rope.is_axial:
        yield from one_of("rope_type of axes with their own frequencies", rope.scaling.rope_type, AXIAL_TYPES)
    elif rope.fractional is True and rope.scaling.follows_length:
        yield f"rope_type of fractional positions must not follow the length, got {rope.scaling.rope_type!r}"


def _width_problems(rope: "RopeConfig") -> Iterator[str]:
    if rope.head_dim > WIDEST:
        yield f"head_dim must be <= {WIDEST:,}, got {rope.head_dim:,}"
    if rope.rotary_dim % 2:
        yield f"rotary_dim must be even, got {rope.rotary_dim}"
    if rope.rotary_dim > rope.head_dim:
        yield f"rotary_dim must be <= head_dim ({rope.head_dim}), got {rope.rotary_dim}"
    halves = is_one_of(rope.layout, ("halves",))
    if halves and (rope.rotary_dim != rope.head_dim or rope.rotary_dim % 4):
        widths = f"{rope.rotary_dim} of {rope.head_dim}"
        yield f"rotary_dim in layout 'halves' must be head_dim, and a multiple of 4, got {widths}"
    if isinstance(rope.mrope, MRope) and sum(rope.mrope.sections) != rope.pairs:
        yield f"mrope_section must add up to the {rope.pairs} rotated pairs, got {list(rope.mrope.sections)}"


def model_problems(model: "ModelRope") -> Iterator[str]:
    """Yield what is wrong with the fields of a model; with what is in them only where each is of its kind."""
    kinds = list(_model_kinds(model))
    yield from kinds or _model_entries(model)


def _model_kinds(model: "ModelRope") -> Iterator[str]:
    yield from instance("ropes", model.ropes, Mapping, "a mapping from key to RopeConfig")
    yield from list_of("layers", model.layers, "keys of ropes, None where a layer has no position")
    yield from instance("model_type", model.model_type, str, "a string")
    yield from list_of("notes", model.notes, "strings")
    yield from number("softmax_scale", model.softmax_scale, above=0)
    yield from instance("query_scales", model.query_scales, Mapping, "a mapping from an entry of layers to QueryScale")


def _model_entries(model: "ModelRope") -> Iterator[str]:
    from tightrope.rope.config import RopeConfig  # builds on this module

    for key, rope in model.ropes.items():
        yield from instance("a key of ropes", key, str, "a string")
        if not isinstance(rope, RopeConfig):
            yield f"rope {key!r} must be a RopeConfig, got {type(rope).__name__}"
    for index, layer in enumerate(model.layers):
        if layer is not None and (not isinstance(layer, str) or layer not in model.ropes):
            yield f"layer {index} has rope {shortened(layer)}, which is none of {sorted(map(str, model.ropes))}"
    for note in model.notes:
        yield from instance("a note", note, str, "a string")
    for scale in model.query_scales.values():
        yield from instance("a value of query_scales", scale, QueryScale, "a QueryScale")
