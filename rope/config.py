"""What a rotation is (`RopeConfig`) and which rotation each layer of a model has (`ModelRope`).

Both are frozen, hashable and valid: a value that breaks a rule cannot be constructed.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightrope.rope.errors import RopeConfigError, shortened, suggestion
from tightrope.rope.frozen import FrozenMap
from tightrope.rope.mrope import MRope
from tightrope.rope.query_scale import QueryScale
from tightrope.rope.scaling import Scaling, find_type
from tightrope.rope.scaling.default import Default

Layout = Literal["half", "interleaved", "halves"]
Side = Literal["head", "tail"]
Spelling = Literal["v4", "v5"]

LAYOUTS: tuple[Layout, ...] = ("half", "interleaved")
"""What a kernel takes; a rotation in layout "halves" is two in layout "half"."""
ALL_LAYOUTS: tuple[Layout, ...] = (*LAYOUTS, "halves")
SIDES: tuple[Side, ...] = ("head", "tail")
LARGEST = sys.float_info.max
AXIAL_TYPES = ("default", "linear")


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """One rotary position embedding.

    Attributes:
        head_dim: Channels of a query head as attention holds it (for MLA: nope + rope).
        rotary_dim: Channels that are rotated, even, at most head_dim.
        base: The base of the geometric progression of frequencies (RoFormer's 10000; Hugging Face's rope_theta).
        layout: Which channels form a pair: `"half"` (i, i + rotary_dim / 2) or `"interleaved"` (2 i, 2 i + 1);
            `"halves"`: each half of a whole head is like a head of layout "half" by itself (Gemma 4's vision tower).
        scaling: The rope type with its parameters.
        side: `"head"` rotates the first rotary_dim channels of what comes, `"tail"` the last (MLA).
        max_position_embeddings: The context length that the configuration declares, in tokens.
        mrope: Sections of several position axes, None for one axis.
        direction: 1 turns by +position · inv_freq (RoFormer), −1 the other way round (nanochat).
        frequency_dim: The d of the exponents where it is not rotary_dim (families that round an odd width up).
        fractional: Positions may be of a float dtype (coordinates in an image); their angles are float32.
    """

    head_dim: int
    rotary_dim: int
    base: float
    layout: Layout
    scaling: Scaling = field(default_factory=Default)
    side: Side = "head"
    max_position_embeddings: int | None = None
    mrope: MRope | None = None
    direction: Literal[1, -1] = 1
    frequency_dim: int | None = None
    fractional: bool = False

    def __post_init__(self) -> None:
        problems = list(self._problems()) or list(self.scaling.check(self))
        if problems:
            raise RopeConfigError(problems)

    def _problems(self) -> Iterator[str]:
        for name in ("head_dim", "rotary_dim"):
            yield from _positive_integer(name, getattr(self, name))
        for name in ("max_position_embeddings", "frequency_dim"):
            if getattr(self, name) is not None:
                yield from _positive_integer(name, getattr(self, name))
        if not isinstance(self.scaling, Scaling):
            yield f"scaling must be a rope type such as Default() or Yarn(factor=4.0), got {self.scaling!r}"
        elif self.is_axial:
            yield from _one_of("rope_type of axes with their own frequencies", self.scaling.rope_type, AXIAL_TYPES)
        elif self.fractional and self.scaling.follows_length:
            yield f"rope_type of fractional positions must not follow the length, got {self.scaling.rope_type!r}"
        if isinstance(self.base, bool) or not isinstance(self.base, int | float) or not 0 < self.base <= LARGEST:
            yield f"base must be a finite number > 0, got {shortened(self.base)}"
        yield from _one_of("layout", self.layout, ALL_LAYOUTS)
        yield from _one_of("side", self.side, SIDES)
        yield from _one_of("direction", self.direction, (1, -1))
        yield from _one_of("fractional", self.fractional, (True, False))
        if isinstance(self.rotary_dim, int) and isinstance(self.head_dim, int):
            yield from self._width_problems()

    def _width_problems(self) -> Iterator[str]:
        if self.rotary_dim % 2:
            yield f"rotary_dim must be even, got {self.rotary_dim}"
        if self.rotary_dim > self.head_dim:
            yield f"rotary_dim must be <= head_dim ({self.head_dim}), got {self.rotary_dim}"
        if self.layout == "halves" and (self.rotary_dim != self.head_dim or self.rotary_dim % 4):
            widths = f"{self.rotary_dim} of {self.head_dim}"
            yield f"rotary_dim in layout 'halves' must be head_dim, and a multiple of 4, got {widths}"
        if self.mrope is not None and sum(self.mrope.sections) != self.pairs:
            yield f"mrope_section must add up to the {self.pairs} rotated pairs, got {list(self.mrope.sections)}"

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
        """Each axis has frequencies of its own: positions are of patches, not of text."""
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
        if isinstance(changes.get("scaling"), Mapping):
            changes["scaling"] = _scaling_from(changes["scaling"])
        return replace(self, **changes)


def _scaling_from(block: Mapping[str, object]) -> Scaling:
    name = block.get("rope_type", block.get("type", "default"))
    cls = find_type(str(name))
    known = {item.name for item in cls.parameters()} | {"rope_type", "type"}
    unknown = sorted(set(block) - known)
    if unknown:
        raise RopeConfigError(f"unknown key {key!r} for rope_type {name!r}{suggestion(key, known)}" for key in unknown)
    return cls.from_block(block)


def _positive_integer(name: str, value: object) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        yield f"{name} must be a whole number > 0, got {value!r}"


def _one_of(name: str, value: object, allowed: Iterable[object]) -> Iterator[str]:
    allowed = tuple(allowed)
    if value not in allowed:
        yield f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}"


@dataclass(frozen=True, kw_only=True)
class ModelRope:
    """The ropes of a model, layer by layer.

    Attributes:
        ropes: RopeConfig by key: the configuration's own layer-type names, `"default"` where there is one rope.
        layers: For each of num_hidden_layers a key of `ropes`, or None where the layer has no position.
        model_type: The configuration's model_type.
        notes: What a person would want to check: defaults filled in, keys translated or without effect.
        softmax_scale: Multiplies the attention logits beyond 1 / sqrt(head_dim): what YaRN's mscale_all_dim asks for in
            the families that apply it there (DeepSeek); 1.0 elsewhere.
        query_scales: The attention temperature of layers that have one, by their entry of `layers`; see `query_scale`.
    """

    ropes: Mapping[str, RopeConfig]
    layers: tuple[str | None, ...]
    model_type: str = ""
    notes: tuple[str, ...] = ()
    softmax_scale: float = 1.0
    query_scales: Mapping[str | None, QueryScale] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ropes", FrozenMap(self.ropes))
        object.__setattr__(self, "query_scales", FrozenMap(self.query_scales))
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "notes", tuple(self.notes))
        problems = list(self._problems())
        if problems:
            raise RopeConfigError(problems)

    def _problems(self) -> Iterator[str]:
        for key, rope in self.ropes.items():
            if not isinstance(rope, RopeConfig):
                yield f"rope {key!r} must be a RopeConfig, got {type(rope).__name__}"
        for index, layer in enumerate(self.layers):
            if layer is not None and layer not in self.ropes:
                yield f"layer {index} has rope {layer!r}, which is none of {sorted(self.ropes)}"

    def for_layer(self, index: int) -> RopeConfig | None:
        """Return the rope of layer `index`, counted from 0; None where it has no position.

        Raises:
            RopeConfigError: There is no such layer.
        """
        if index not in range(len(self.layers)):
            raise RopeConfigError(f"index must be one of the {len(self.layers)} layers, counted from 0, got {index!r}")
        key = self.layers[index]
        return None if key is None else self.ropes[key]

    def rope(self, layer_type: str | None = None) -> RopeConfig:
        """Return the rope of that key; without a key the only one.

        Raises:
            RopeConfigError: There is no such key, or there are several ropes and none was named.
        """
        return self.ropes[self.key(layer_type)]

    def key(self, layer_type: str | None = None) -> str:
        """Return the key of `ropes` that layer_type means; see `rope`."""
        if layer_type is None and len(self.ropes) == 1:
            return next(iter(self.ropes))
        if layer_type is None:
            raise RopeConfigError(f"layer_type is required: this model has several ropes, {sorted(self.ropes)}")
        if layer_type not in self.ropes:
            raise RopeConfigError(f"layer_type must be one of {sorted(self.ropes)}, got {layer_type!r}")
        return layer_type

    def query_scale(self, positions: ArrayLike, layer_type: str | None = None) -> NDArray[np.float64]:
        """Return the factor on the query at each position (attention temperature): 1 where the family has none.

        Args:
            positions: Positions, any shape.
            layer_type: An entry of `layers`. None means the layers without position, and where every layer has one
                and there is one rope, that rope.
        """
        scale = self.find_query_scale(layer_type)
        return np.ones(np.shape(positions)) if scale is None else scale(positions)

    def find_query_scale(self, layer_type: str | None = None) -> QueryScale | None:
        """Return the rule behind `query_scale` for these layers, None where they have none."""
        key = layer_type
        if key is None and None not in self.query_scales and len(self.ropes) == 1:
            key = self.key()
        return self.query_scales.get(key)

    def replace(self, layer_type: str | None = None, **changes: Any) -> Self:
        """Return a copy in which `RopeConfig.replace(**changes)` was applied to one rope (see `rope`)."""
        key = self.key(layer_type)
        return replace(self, ropes={**self.ropes, key: self.ropes[key].replace(**changes)})

    def to_hf(self, spelling: Spelling = "v5") -> dict[str, object]:
        """Return the fragment of a config.json that reads back as this model.

        Args:
            spelling: `"v4"`: rope_theta and rope_scaling; `"v5"`: rope_parameters, as transformers 5 writes it.
        """
        from tightrope.rope.reading.writing import to_hf  # reading builds on this module

        return to_hf(self, spelling)
