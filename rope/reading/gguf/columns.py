"""What the table of GGUF architectures says of each: its columns."""

from dataclasses import dataclass
from typing import Literal

from tightrope.rope.config.mrope import AxisOrder
from tightrope.rope.config.terms import Layout, Side


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Layers that repeat with a period: one is another than the rest, which slide.

    Attributes:
        period: The period where attention.sliding_window_pattern does not state it; None: the file must state which
            layers slide.
        first: The other one is the first of each period, not the last.
        others: `"no position"`: the other one has none. `"full"`: it has the base and the scaling of the file.
        local_base: The base of the sliding layers where the file has no freq_base_swa; None: the base of the rest.
        with_window: Only a file with attention.sliding_window has the pattern.
        at_layers: Only a model of this number of layers has it.
        stated: attention.sliding_window_pattern counts.
        own_keys: The sliding layers read rope.freq_base_swa and rope.dimension_count_swa.
        scaled: The sliding layers are scaled as the rest.
        gain: rope.scaling.attn_factor counts in the sliding layers where they are not scaled.
    """

    period: int | None = None
    first: bool = False
    others: Literal["no position", "full"] = "full"
    local_base: float | None = 10_000.0
    with_window: bool = False
    at_layers: int | None = None
    stated: bool = True
    own_keys: bool = True
    scaled: bool = False
    gain: bool = True


@dataclass(frozen=True, kw_only=True)
class LogMultiplier:
    """What rope.scaling.yarn_log_multiplier says: mscale_all_dim times `unit`.

    Attributes:
        unit: What the converter multiplies by.
        equal: mscale is the same; else it is 1.
    """

    unit: float
    equal: bool = False


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """A factor on the query that grows with its position.

    Attributes:
        beta: Where the file has no attention.temperature_scale; None: there is none then.
        length: Where the file has no attention.temperature_length; None: rope.scaling.original_context_length.
        stated: The file's own keys count.
        unrotated: It is that of the layers without position alone.
        shift: Added to the position.
    """

    beta: float | None = None
    length: int | None = None
    stated: bool = True
    unrotated: bool = False
    shift: int = 0


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What llama.cpp's code knows of an architecture.

    Attributes:
        layout: How the stored weights pair: ggml's NORM or NEOX.
        order: The order of the position axes; sections always pair halves.
        sections: rope.dimension_sections counts, or must be there.
        latent_keys: attention.key_length_mla states the width of a head, attention.key_length that of a cached key.
        side: Latent attention rotates the last channels.
        alpha: rope.scaling.alpha counts.
        pattern: Layers that differ.
        no_position: Every so many layers one has no position: the last of each period, or the first.
        interval: Every so many layers the last one attends, unless full_attention_interval or
            attention.recurrent_layers says otherwise; the others have no attention.
        temperature: What scales the query by its position.
        log_multiplier: rope.scaling.yarn_log_multiplier counts.
        softmax: The attention logits are scaled, see `scaling.logits_factor`.
        betas: rope.scaling.yarn_beta_fast and yarn_beta_slow count; elsewhere they are 32 and 1.
        extrapolation: rope.scaling.yarn_ext_factor counts; elsewhere it is 1.
        slides_scaled: rope.scaling.type "none" leaves the factor to the sliding layers.
        freqs: The tensor rope_freqs is loaded.
        factors: The tensors rope_factors_long and rope_factors_short are loaded: where rope.scaling.type is
            "longrope", or always.
        switched: rope.scaling.finetuned false switches the rotation off.
        rotary_layers: Only models of this number of layers rotate; others have ALiBi.
        fixed_base: The code has a fixed base, no width but the head's and no scaling.
        full_fraction: The part of rope.dimension_count that layers rotate which do not slide.
        note: What a person should know of every file.
        yarn_note: What a person should know where the file has YaRN.
        permuted: Neighbours only because the converter permutes q and k: the published weights pair halves.
        rope_pattern: attention.rope_pattern says which layers have a position.
    """

    layout: Layout
    order: AxisOrder = "chunked"
    sections: Literal["none", "may", "must"] = "none"
    side: Side = "head"
    latent_keys: bool = False
    alpha: bool = False
    pattern: Pattern | None = None
    no_position: tuple[int, Literal["first", "last"]] | None = None
    interval: int | None = None
    temperature: Temperature | None = None
    log_multiplier: LogMultiplier | None = None
    softmax: bool = False
    betas: bool = False
    extrapolation: bool = False
    slides_scaled: bool = False
    freqs: bool = False
    factors: Literal["never", "by type", "always"] = "never"
    switched: bool = False
    rotary_layers: int | None = None
    fixed_base: float | None = None
    full_fraction: float = 1.0
    rope_pattern: bool = False
    permuted: bool = False
    note: str = ""
    yarn_note: str = ""
