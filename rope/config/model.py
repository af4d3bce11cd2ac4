"""Which rotation each layer of a model has (`ModelRope`): frozen, hashable, valid."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightrope.rope.config.frozen_map import FrozenMap
from tightrope.rope.config.query_scale import QueryScale, numbers
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.config.terms import LAYOUTS, Layout
from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.support.called import fields_in_words
from tightrope.rope.support.validation import (
    instance,
    is_list,
    is_whole,
    list_of,
    number,
    one_of,
    require,
)

Spelling = Literal["v4", "v5"]


@fields_in_words()
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
        published_layout: The layout of the published weights, where a file stores q and k permuted (llama.cpp's
            converter, Meta's own checkpoints) and its ropes have the layout of the file; None where they are alike.
        guessed: The family is unknown, and read like another: layout, side and defaults are a guess.
    """

    ropes: Mapping[str, RopeConfig]
    layers: tuple[str | None, ...]
    model_type: str = ""
    notes: tuple[str, ...] = ()
    softmax_scale: float = 1.0
    query_scales: Mapping[str | None, QueryScale] = field(default_factory=dict)
    published_layout: Layout | None = None
    guessed: bool = False

    # `tightrope.to_hf`, put here by its module: writing reads back what it wrote, and reading builds on this class.
    writer: ClassVar[Callable[["ModelRope", Spelling], dict[str, object]]]

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
        if not self.ropes:
            raise RopeConfigError("this model has no ropes: none of its layers has rotary positions; see its notes")
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
        """Return the fragment of a config.json that reads back as this model: `tightrope.to_hf(self, spelling)`.

        Args:
            spelling: `"v4"`: rope_theta and rope_scaling; `"v5"`: rope_parameters, as transformers 5 writes it.
        """
        return self.writer(spelling)


def model_problems(model: ModelRope) -> Iterator[str]:
    """Yield what is wrong with the fields of a model; with what is in them only where each is of its kind."""
    kinds = list(_model_kinds(model))
    yield from kinds or _model_entries(model)


def _model_kinds(model: ModelRope) -> Iterator[str]:
    yield from instance("ropes", model.ropes, Mapping, "a mapping from key to RopeConfig")
    yield from list_of("layers", model.layers, "keys of ropes, None where a layer has no position")
    yield from instance("model_type", model.model_type, str, "a string")
    yield from list_of("notes", model.notes, "strings")
    yield from one_of("guessed", model.guessed, (True, False))
    yield from number("softmax_scale", model.softmax_scale, above=0)
    yield from one_of("published_layout", model.published_layout, (*LAYOUTS, None))
    yield from instance("query_scales", model.query_scales, Mapping, "a mapping from an entry of layers to QueryScale")


def _model_entries(model: ModelRope) -> Iterator[str]:
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
