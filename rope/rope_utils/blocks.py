"""The rope block of a configuration: its keys, and what is missing from it."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from typing import Any, TypedDict

from tightrope.rope.errors import RopeKeyError
from tightrope.rope.scaling import find_type

BLOCK_KEYS = ("rope_parameters", "rope_scaling")


class RopeParameters(TypedDict, total=False):
    """The keys of `rope_parameters`; nested by layer type where a model has several ropes.

    Attributes:
        rope_theta: The base of the frequencies, base ** (−2 i / rotary_dim).
        rope_type: How they are scaled: `"default"`, `"linear"`, `"dynamic"`, `"yarn"`, `"longrope"`, `"llama3"`,
            `"proportional"`, `"ntk"`, or a type of one's own.
        partial_rotary_factor: The share of the head's channels that rotate.
        factor: By how much the context is extended; every type but `"default"` and `"longrope"`.
        original_max_position_embeddings: The context before the extension, in tokens; yarn, longrope, llama3.
        attention_factor: Multiplies cos and sin; yarn and longrope, which compute it where it is missing.
        beta_fast: Rotations within the original context above which yarn leaves a frequency as it is (32).
        beta_slow: Rotations below which yarn divides a frequency by the whole factor (1).
        short_factor: longrope's divisor of each frequency up to the original length.
        long_factor: longrope's divisor beyond it.
        low_freq_factor: llama3's bound of wavelengths that are divided by the whole factor.
        high_freq_factor: llama3's bound of wavelengths that are kept.
        mscale: yarn's attention factor is (0.1 mscale ln factor + 1) / (0.1 mscale_all_dim ln factor + 1).
        mscale_all_dim: See `mscale`.
        truncate: Whether yarn's bounds are rounded to whole pairs (true).
        attn_factor: Multiplies yarn's own factor on cos and sin (1); transformers ignores it.
        extrapolation_factor: Multiplies the share of yarn's kept frequencies (1); transformers ignores it.
        mrope_section: M-RoPE: how many pairs each position axis has.
    """

    rope_theta: float | None
    rope_type: str | None
    partial_rotary_factor: float | None
    factor: float | None
    original_max_position_embeddings: int | None
    attention_factor: float | None
    beta_fast: float | None
    beta_slow: float | None
    short_factor: list[float] | None
    long_factor: list[float] | None
    low_freq_factor: float | None
    high_freq_factor: float | None
    mscale: float | None
    mscale_all_dim: float | None
    truncate: bool | None
    attn_factor: float | None
    extrapolation_factor: float | None
    mrope_section: list[int] | None


def rope_type_of(block: Mapping[str, Any]) -> str:
    """Return the rope type of a block, in either spelling; M-RoPE of transformers 4 is `"default"`."""
    name = str(block.get("rope_type") or block.get("type") or "default")
    return "default" if name == "mrope" else name


def require_keys(block: Mapping[str, Any], name: str, beside: Mapping[str, Any]) -> None:
    """Refuse a block that lacks what its rope type cannot do without.

    Args:
        block: The keys of one rope.
        name: What messages call the block.
        beside: The keys of the configuration around it, where Phi-3 states its original length.

    Raises:
        RopeKeyError: Keys are missing; it is a KeyError, too.
        RopeConfigError: There is no such rope type.
    """
    scaling = find_type(rope_type_of(block))
    needed = (item.name for item in scaling.parameters() if item.default is MISSING)
    of_type = f"required by rope_type {scaling.rope_type!r} and missing"
    problems = [f"{name}.{key} is {of_type}" for key in needed if block.get(key) is None]
    one_of = scaling.needs_one_of
    if one_of and all(keys.get(key) is None for key in one_of for keys in (block, beside)):
        problems.append(f"{name} must have {' or '.join(one_of)}: one of them is {of_type}")
    if problems:
        raise RopeKeyError(problems)


def flat_blocks(block: Mapping[str, Any], labels: Iterable[str] | None) -> dict[str, Any]:
    """Return the blocks within `rope_parameters` by layer type, or the one block under `""`; null blocks left out."""
    nested = {key: block[key] for key in labels or () if key in block}
    return {key: one for key, one in (nested or {"": block}).items() if one is not None}
