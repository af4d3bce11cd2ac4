"""One rotary position embedding (`RopeConfig`): frozen, hashable, valid."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

from tightrope.rope.config.mrope import MRope
from tightrope.rope.config.terms import ALL_LAYOUTS, SIDES, Layout, Side
from tightrope.rope.errors import RopeConfigError, shortened, suggestion
from tightrope.rope.scaling import Scaling, find_type, rope_types, scaling_from
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.parameters import LONGEST
from tightrope.rope.support.called import fields_in_words
from tightrope.rope.support.validation import (
    instance,
    is_one_of,
    is_whole,
    number,
    one_of,
    positive_integer,
    require,
)


class _HeadDim:
    """What stands for "as wide as the head" until there is one."""

    def __repr__(self) -> str:
        return "head_dim"


_HEAD_DIM: Any = _HeadDim()

# What the fields are called elsewhere.
_OTHER_NAMES = {
    "rope_theta": "base",
    "theta": "base",
    "rotary_emb_base": "base",
    "dim": "rotary_dim",
    "dims": "rotary_dim",
    "rope_scaling": "scaling",
    "rope_parameters": "scaling",
    "rope_type": "scaling",
    "partial_rotary_factor": "rotary_dim",
    "rotary_pct": "rotary_dim",
    "max_seq_len": "max_position_embeddings",
    "mrope_section": "mrope",
    "interleaved": "layout",
    "traditional": "layout",
}
_FREQUENCIES = ("freqs", "inv_freq")


def _named(name: str, names: Sequence[str]) -> str:
    """Return, as the end of a message, what a field of another name is called here, or where it belongs."""
    if name in _OTHER_NAMES:
        return f"; it is called {_OTHER_NAMES[name]!r} here"
    if name in _FREQUENCIES:
        return "; the frequencies follow from base, rotary_dim and scaling"
    having = [kind for kind in rope_types() if name in (item.name for item in fields(find_type(kind)))]
    if having:
        kind = "yarn" if "yarn" in having else having[0]
        return f"; it belongs to the rope block: replace(scaling={{'rope_type': {kind!r}, {name!r}: …}})"
    return suggestion(name, names) or f"; the fields are {', '.join(names)}"


@fields_in_words(_named)
@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """One rotary position embedding; `RopeConfig(head_dim=128, base=10_000.0)` is a plain one.

    Attributes:
        head_dim: Channels of a query head as attention holds it (for MLA: nope + rope).
        rotary_dim: Channels that are rotated, even, at most head_dim; head_dim where it is not given.
        base: The base of the geometric progression of frequencies (RoFormer's 10000; Hugging Face's rope_theta).
        layout: Which channels form a pair: `"half"` (i, i + rotary_dim / 2) or `"interleaved"` (2 i, 2 i + 1);
            `"halves"`: each half of a whole head is like a head of layout "half" by itself (Gemma 4's vision tower).
        scaling: The rope type with its parameters; unscaled where it is not given.
        side: `"head"` rotates the first rotary_dim channels of the input, `"tail"` the last (MLA).
        max_position_embeddings: The context length that the configuration declares, in tokens.
        mrope: Sections of several position axes, None for one axis.
        direction: 1 rotates by +position · inv_freq (RoFormer), −1 the other way round (nanochat).
        frequency_dim: The d of the exponents where it is not rotary_dim (families that round an odd width up).
        fractional: Positions may be of a float dtype (coordinates in an image); their angles are float32.
    """

    head_dim: int
    rotary_dim: int = _HEAD_DIM
    base: float
    layout: Layout = "half"
    scaling: Scaling = field(default_factory=Default)
    side: Side = "head"
    max_position_embeddings: int | None = None
    mrope: MRope | None = None
    direction: Literal[1, -1] = 1
    frequency_dim: int | None = None
    fractional: bool = False

    def __post_init__(self) -> None:
        if self.rotary_dim is _HEAD_DIM:
            object.__setattr__(self, "rotary_dim", self.head_dim)
        require(list(rope_problems(self)) or self.scaling.check(self))

    @property
    def pairs(self) -> int:
        """Rotated pairs of channels: rotary_dim // 2."""
        return self.rotary_dim // 2

    @property
    def exponent_dim(self) -> int:
        """The d in base ** (-2 i / d)."""
        return self.rotary_dim if self.frequency_dim is None else self.frequency_dim

    @property
    def axes(self) -> int:
        """Position axes: 1, or as many as M-RoPE has sections."""
        return 1 if self.mrope is None else self.mrope.axes

    @property
    def is_axial(self) -> bool:
        """Each axis has its own frequencies: positions are of patches, not of text."""
        return self.mrope is not None and self.mrope.progression != "shared"

    @property
    def original_length(self) -> int | None:
        """The length the model was first trained for: the scaling's own, else max_position_embeddings."""
        own: int | None = getattr(self.scaling, "original_max_position_embeddings", None)
        return self.max_position_embeddings if own is None else own

    def require_original_length(self) -> int:
        """Return `original_length`, for formulas that `check` has already shown to have one."""
        if self.original_length is None:
            raise RopeConfigError(f"rope_type {self.scaling.rope_type!r} needs original_max_position_embeddings")
        return self.original_length

    def length_ratio(self) -> float:
        """Return max_position_embeddings / original_length."""
        if self.max_position_embeddings is None:
            raise RopeConfigError(f"rope_type {self.scaling.rope_type!r} needs factor or max_position_embeddings")
        return self.max_position_embeddings / self.require_original_length()

    def replace(self, **changes: Any) -> Self:
        """Return a copy with these fields changed, checked anew.

        `scaling` may be a rope block as a configuration writes it: `scaling={"rope_type": "yarn", "factor": 4.0}`.
        """
        names = [item.name for item in fields(self)]
        require(f"unknown field {shortened(name)}{_named(name, names)}" for name in changes if name not in names)
        if isinstance(changes.get("scaling"), Mapping):
            changes["scaling"] = scaling_from(changes["scaling"])
        return replace(self, **changes)


AXIAL_TYPES = ("default", "linear")

_SCALING_WORDS = (
    "a rope type such as Yarn(factor=4.0), or in replace(scaling=…) its block {'rope_type': 'yarn', 'factor': 4.0}"
)

# Published heads have up to 576 channels; from some millions on, the frequencies alone would seem to hang.
WIDEST = 2**20


def rope_problems(rope: RopeConfig) -> Iterator[str]:
    """Yield what is wrong with the fields of one rope, but for what its rope type asks of them."""
    for name in ("head_dim", "rotary_dim"):
        yield from positive_integer(name, getattr(rope, name))
    for name in ("max_position_embeddings", "frequency_dim"):
        if getattr(rope, name) is not None:
            yield from positive_integer(name, getattr(rope, name))
    if is_whole(rope.max_position_embeddings) and rope.max_position_embeddings > LONGEST:
        yield f"max_position_embeddings must be <= {LONGEST}, got {shortened(rope.max_position_embeddings)}"
    yield from number("base", rope.base, above=0)
    yield from one_of("layout", rope.layout, ALL_LAYOUTS)
    yield from one_of("side", rope.side, SIDES)
    yield from one_of("direction", rope.direction, (1, -1))
    yield from one_of("fractional", rope.fractional, (True, False))
    yield from instance("mrope", rope.mrope, MRope | None, "an MRope(sections=(16, 24, 24)), or None for one axis")
    yield from instance("scaling", rope.scaling, Scaling, _SCALING_WORDS)
    yield from _type_problems(rope)
    if isinstance(rope.rotary_dim, int) and isinstance(rope.head_dim, int):
        yield from _width_problems(rope)


def _type_problems(rope: RopeConfig) -> Iterator[str]:
    """Yield where the rope type and the positions do not go together."""
    if not isinstance(rope.scaling, Scaling):
        return
    if isinstance(rope.mrope, MRope) and rope.is_axial:
        yield from one_of("rope_type of axes with their own frequencies", rope.scaling.rope_type, AXIAL_TYPES)
    elif rope.fractional is True and rope.scaling.follows_length:
        yield f"rope_type of fractional positions must not follow the length, got {rope.scaling.rope_type!r}"


def _width_problems(rope: RopeConfig) -> Iterator[str]:
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
        yield f"mrope_section must add up to the {rope.pairs} rotated pairs, got {shortened(list(rope.mrope.sections))}"
