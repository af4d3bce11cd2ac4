"""What a family of models knows that its config.json does not say: the columns of the table in families.py."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tightrope.rope.config import Layout
from tightrope.rope.mrope import AxisOrder
from tightrope.rope.reading.sheet import Sheet

LayerRule = Callable[[Sheet, int], list[str]]
"""From a configuration and its number of layers to the type of each."""
NoPositionRule = Callable[[Sheet, Sequence[str]], list[bool]]
"""From a configuration and the type of each layer to: has this layer no position?"""


class Shape(NamedTuple):
    """A configuration class's own defaults; null in the table where it has none.

    A sub-configuration (`text_config`) is saved without the values that equal them.
    """

    hidden: int | None = None
    heads: int | None = None
    layers: int | None = None
    length: int | None = None


@dataclass(frozen=True, kw_only=True)
class LayerRope:
    """One of a family's several ropes, as its configuration class fills it in.

    Attributes:
        base: The base where the configuration has none.
        base_keys: Where the old spelling keeps its base.
        scaled: The old spelling's rope_scaling, and a flat rope_parameters, belong to it.
        partial: The share of the head that is rotated where the configuration says nothing; None: the family's.
        head_dim_keys: Where its head width stands, if it has its own.
        block: Parameters that it has unless the configuration has others.
        layer_types: The layer types that use it, where they have other names.
    """

    base: float = 10_000.0
    base_keys: tuple[str, ...] = ("rope_theta",)
    scaled: bool = True
    partial: float | None = None
    head_dim_keys: tuple[str, ...] = ()
    block: Mapping[str, object] = field(default_factory=dict)
    layer_types: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Family:
    """One line of the table.

    Attributes:
        layout: Which channels pair up.
        layout_key: A key that, where it is false, means `"half"` instead.
        base: The base where the configuration has none.
        base_keys: Where the old spelling keeps the base; the first is written.
        partial: The share of the head that is rotated where the configuration says nothing; None: whole heads, always.
        partial_keys: Where the old spelling keeps that share; the first is written.
        rotary_dim_keys: Keys that give the rotated width itself.
        rounds_up: An odd rotated width becomes the next even one.
        head_dim: The head width where the configuration has none; None: hidden_size // num_attention_heads.
        head_dim_keys: Keys that give the head width.
        mla: Multi-head latent attention: (qk_nope_head_dim, qk_rope_head_dim) by default; the rope part comes last.
        direction: −1 where the family turns the other way round.
        mrope: The order of the position axes, for a family that has several.
        sections: Its sections where the configuration has none.
        alpha: The block's `alpha` is the factor of a static NTK base (Hunyuan).
        block: Parameters of the rope that it has unless the configuration has a block.
        ropes: Several ropes, by the name of the layers that use them.
        layers: The types of the layers where the configuration does not list them.
        no_position: The layers without position.
        softmax: `"mscale"`: yarn's mscale_all_dim also scales the attention logits (DeepSeek).
        query: The attention temperature that belongs to position (Llama 4, Ministral 3).
        shape: See `Shape`.
        no_rope: Why this family has no rotation by token at all.
        note: What a person should know about every model of the family.
    """

    layout: Layout = "half"
    layout_key: str | None = None
    base: float = 10_000.0
    base_keys: tuple[str, ...] = ("rope_theta",)
    partial: float | None = None
    partial_keys: tuple[str, ...] = ("partial_rotary_factor",)
    rotary_dim_keys: tuple[str, ...] = ()
    rounds_up: bool = True
    head_dim: int | None = None
    head_dim_keys: tuple[str, ...] = ("head_dim",)
    mla: tuple[int, int] | None = None
    direction: Literal[1, -1] = 1
    mrope: AxisOrder | None = None
    sections: tuple[int, ...] | None = None
    alpha: bool = False
    block: Mapping[str, object] = field(default_factory=dict)
    ropes: Mapping[str, LayerRope] = field(default_factory=dict)
    layers: LayerRule | None = None
    no_position: NoPositionRule | None = None
    softmax: Literal["mscale"] | None = None
    query: str | None = None
    shape: Shape = Shape()
    no_rope: str | None = None
    note: str | None = None
