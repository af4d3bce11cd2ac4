"""What a family of models knows that its config.json does not say: the columns of the table in families.py."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tightrope.rope.config.mrope import AxisOrder, Progression
from tightrope.rope.config.query_scale import QueryScale
from tightrope.rope.config.terms import Layout, Side
from tightrope.rope.reading.section import Section
from tightrope.rope.scaling import Scaling

LayerRule = Callable[[Section, int], list[str]]
"""From a configuration and its number of layers to the type of each."""
NoPositionRule = Callable[[Section, Sequence[str]], list[bool]]
"""From a configuration and the type of each layer to: has this layer no position?"""
Rewrite = Callable[[Section, list[str]], tuple[Section, list[str]]]
"""From a configuration and its layer types to the same in the usual words: nested rope_parameters and their names."""
WithoutRule = Callable[[Section], str | None]
"""From a configuration to the reason why it is an exception, None where it is none."""
QueryRule = Callable[[Section, Section, Scaling], QueryScale | None]
"""From a configuration, its (completed) rope block and the scaling to the attention temperature."""
WidthRule = Callable[[Section], int | None]
"""From a configuration to the width of a head, None (and a problem) where it does not give it."""


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The position axes of a tower, which share the head's pairs equally; its files never say them.

    Attributes:
        count: How many: row and column, or time, row and column.
        order: Which axis rotates which pair, see `MRope`.
        progression: Which frequencies an axis has, see `MRope`.
        fractional: Positions are coordinates, see `RopeConfig`.
    """

    count: int = 2
    order: AxisOrder = "chunked"
    progression: Progression = "own"
    fractional: bool = False


@dataclass(frozen=True, kw_only=True)
class LayerRope:
    """One of a family's several ropes, as its configuration class fills it in.

    Attributes:
        base: The base where the configuration has none.
        base_keys: Where the old spelling keeps its base.
        own_base: A flat block's rope_theta is not its base.
        scaled: The old spelling's rope_scaling, and a flat rope_parameters, belong to it.
        partial: The share of the head that is rotated where the configuration says nothing; None: the family's.
        block: The block that it has where the configuration has none.
        fixed: By rope type, parameters that hold unless the block has them.
        widths: Widths of its own: general key → (its own key, default); a default of None: the general key's value.
        layer_types: The layer types that use it, where they have other names.
    """

    base: float = 10_000.0
    base_keys: tuple[str, ...] = ("rope_theta",)
    own_base: bool = False
    scaled: bool = True
    partial: float | None = None
    block: Mapping[str, object] = field(default_factory=dict)
    fixed: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    widths: Mapping[str, tuple[str, int | None]] = field(default_factory=dict)
    layer_types: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Family:
    """One line of the table.

    Attributes:
        layout: Which channels pair up.
        published_layout: Which channels pair up in the converted weights, where these are the original ones.
        layout_key: A key whose falsehood means `"half"` and whose truth means `"interleaved"`.
        side: Whether the first or the last channels rotate.
        base: The base where the configuration has none.
        base_keys: Where the old spelling keeps the base; the first is written. A dot leads into an inner object.
        null_base: The keys of a base whose null leaves the default; null under another leaves nothing to compute with.
        base_factor_key: A key that multiplies the base (ChatGLM's rope_ratio).
        partial: The share of the head that is rotated where the configuration says nothing; None: whole heads, always.
        partial_keys: Where the old spelling keeps that share; the first is written.
        rotary_dim_keys: Keys that give the rotated width itself.
        rotary_dim: The rotated width where the configuration has none.
        rounds_up: An odd rotated width becomes the next even one.
        head_dim: The head width where the configuration has none; None: hidden_size // num_attention_heads.
        head_dim_keys: Keys that give the head width; the first is written.
        hidden_factor: The heads share hidden_size times this.
        width: The head width of a configuration that has none, where it is not hidden_size // num_attention_heads.
        mla: Multi-head latent attention: (qk_nope_head_dim, qk_rope_head_dim) by default; the rope part comes last.
        direction: −1 where the family rotates the other way.
        mrope: The order of the position axes, for a family that has several.
        sections: Its sections where the configuration has none; () stands for equal ones over two axes.
        section_order: The axis of each of the file's sections, where that is not 0, 1, 2, ….
        axes: The position axes of a vision tower.
        fractional: Its model gives some positions as fractions, times of audio and video: see `RopeConfig`.
        alpha: The block's `alpha` is the factor of a static NTK base (Hunyuan).
        block: The block that it has where the configuration has none.
        block_keys: Keys of a block that only this family knows.
        type_aliases: Rope types that mean another in this family.
        ropes: Several ropes, by the name of the layers that use them; None: those layers have no position.
        layers_factor: A key that counts blocks of several layers, and how many.
        layers: The types of the layers where the configuration does not list them.
        all_layers: Every layer attends with positions, whatever its type is called.
        no_position: The layers without position.
        rewrite: Puts this family's own words for per-layer ropes into the usual ones.
        without: Tells why a configuration has no rotary positions.
        softmax: YaRN's mscale_all_dim also scales the attention logits (DeepSeek).
        query: The attention temperature that belongs to position (Llama 4, Ministral 3).
        query_layers: It applies to the layers with position, or to those without.
        shape: The class's own hidden_size, num_attention_heads, num_hidden_layers, max_position_embeddings: a
            sub-configuration (`text_config`) is saved without the values that equal them.
        wrappers: Models of several parts whose text_config has this family where it does not name its own; old files
            of some are flat, and are read from the file itself.
        reads_v4: Its configuration class reads the v4 spelling; transformers 5 alone has the classes that do not.
        decoys: Keys that files of the family have and its code does not read.
        refused: Tells why the rotation of a configuration cannot be expressed.
        note: What a person should know about every model of the family.
    """

    layout: Layout = "half"
    published_layout: Layout | None = None
    layout_key: str | None = None
    side: Side = "head"
    base: float = 10_000.0
    base_keys: tuple[str, ...] = ("rope_theta",)
    null_base: tuple[str, ...] = ()
    base_factor_key: str | None = None
    partial: float | None = None
    partial_keys: tuple[str, ...] = ("partial_rotary_factor",)
    rotary_dim_keys: tuple[str, ...] = ()
    rotary_dim: int | None = None
    rounds_up: bool = True
    head_dim: int | None = None
    head_dim_keys: tuple[str, ...] = ("head_dim",)
    hidden_factor: int = 1
    width: WidthRule | None = None
    mla: tuple[int, int] | None = None
    direction: Literal[1, -1] = 1
    mrope: AxisOrder | None = None
    sections: tuple[int, ...] | None = None
    section_order: tuple[int, ...] | None = None
    axes: Axes | None = None
    fractional: bool = False
    alpha: bool = False
    block: Mapping[str, object] = field(default_factory=dict)
    block_keys: tuple[str, ...] = ()
    type_aliases: Mapping[str, str] = field(default_factory=dict)
    ropes: Mapping[str, LayerRope | None] = field(default_factory=dict)
    layers_factor: tuple[str, int] | None = None
    layers: LayerRule | None = None
    all_layers: bool = False
    no_position: NoPositionRule | None = None
    rewrite: Rewrite | None = None
    without: WithoutRule | None = None
    softmax: bool = False
    query: QueryRule | None = None
    query_layers: Literal["with", "without"] = "with"
    shape: tuple[int | None, int | None, int | None, int | None] = (None, None, None, None)
    wrappers: tuple[str, ...] = ()
    reads_v4: bool = True
    decoys: tuple[str, ...] = ()
    refused: WithoutRule | None = None
    note: str | None = None

    def single(self) -> LayerRope:
        """Return its one rope, for configurations that have one."""
        return LayerRope(base=self.base, base_keys=self.base_keys, partial=self.partial, block=self.block)

    def own_keys(self) -> frozenset[str]:
        """Return the keys in which this family, unlike others, says its bases."""
        several = {key for rope in self.ropes.values() if rope is not None for key in rope.base_keys}
        factor = set() if self.base_factor_key is None else {self.base_factor_key}
        return frozenset(several | factor) - {"rope_theta"}
