"""What a rotation is (`RopeConfig`) and which rotation each layer of a model has (`ModelRope`).

Both are frozen, hashable and valid: a value that breaks a rule cannot be constructed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightrope.rope.config_rules import ALL_LAYOUTS as ALL_LAYOUTS
from tightrope.rope.config_rules import LAYOUTS as LAYOUTS
from tightrope.rope.config_rules import SIDES as SIDES
from tightrope.rope.config_rules import Layout as Layout
from tightrope.rope.config_rules import Side as Side
from tightrope.rope.config_rules import model_problems, rope_problems
from tightrope.rope.errors import RopeConfigError, shortened, suggestion
from tightrope.rope.frozen import FrozenMap
from tightrope.rope.mrope import MRope
from tightrope.rope.query_scale import QueryScale, numbers
from tightrope.rope.rules import is_list, is_whole, require
from tightrope.rope.scaling import Scaling, scaling_from
from tightrope.rope.scaling.default import Default

Spelling = Literal["v4", "v5"]


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
        names = [item.name for item in fields(self)]
        require(f"unknown field {name!r}{suggestion(name, names)}" for name in changes if name not in names)
        if isinstance(changes.get("scaling"), Mapping):
            changes["scaling"] = scaling_from(changes["scaling"])
        return replace(self, **changes)


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
        for name in ("layers", "notes"):
            if is_list(getattr(self, name)):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        require(model_problems(self))
        object.__setattr__(self, "ropes", FrozenMap(self.ropes))
        object.__setattr__(self, "query_scales", FrozenMap(self.query_scales))

    def for_layer(self, index: int) -> RopeConfig | None:
        """Return the rope of layer `index`, counted from 0; None where it has no position.

        Raises:
            RopeConfigError: There is no such layer.
        """
        count = len(self.layers)
        if not is_whole(index) or not 0 <= index < count:
            raise RopeConfigError(f"index must be one of the {count} layers, counted from 0, got {shortened(index)}")
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
        if not isinstance(layer_type, str) or layer_type not in self.ropes:
            raise RopeConfigError(f"layer_type must be one of {sorted(self.ropes)}, got {shortened(layer_type)}")
        return layer_type

    def query_scale(self, positions: ArrayLike, layer_type: str | None = None) -> NDArray[np.float64]:
        """Return the factor on the query at each position (attention temperature): 1 where the family has none.

        Args:
            positions: Positions, any shape.
            layer_type: An entry of `layers`. None means the layers without position, and where every layer has one
                and there is one rope, that rope.
        """
        scale = self.find_query_scale(layer_type)
        return np.ones(numbers(positions).shape) if scale is None else scale(positions)

    def find_query_scale(self, layer_type: str | None = None) -> QueryScale | None:
        """Return the rule behind `query_scale` for these layers, None where they have none."""
        only = None not in self.query_scales and len(self.ropes) == 1
        key = self.key(layer_type) if only or layer_type is not None else None
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
