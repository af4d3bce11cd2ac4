"""Which layers have which attention: small named rules of the family table."""

from collections.abc import Sequence

from tightrope.rope.reading.families.family import LayerRule
from tightrope.rope.reading.section import Section

SLIDING, FULL, LINEAR = "sliding_attention", "full_attention", "linear_attention"

# Layers that attend by recurrence or not at all: nothing is rotated there.
WITHOUT_ATTENTION = frozenset(
    {LINEAR, "conv", "mamba", "mamba2", "moe", "mlp", "recurrent", "rwkv", "short_conv", "gated_delta_net"}
)


def full_every(
    interval: int,
    *keys: str,
    first: int | None = None,
    also: Sequence[int] = (),
    other: str = SLIDING,
    full: str = FULL,
) -> LayerRule:
    """Every interval-th layer sees everything, the others a window (or nothing, `other`).

    Args:
        interval: How often.
        keys: Where a configuration gives another interval, or a pattern such as "LLLG".
        first: The index of the first such layer; interval − 1 if not given.
        also: Indices of layers that see everything besides; negative ones count from the end.
        other: The type of the others.
        full: The type of these layers.
    """

    def types(section: Section, count: int) -> list[str]:
        found = section.find(*keys)
        if found is not None and isinstance(found[1], str):
            return (
                [full if found[1][index % len(found[1])] == "G" else other for index in range(count)]
                if found[1]
                else []
            )
        every = section.integer(*keys) or interval
        start = (every - 1 if first is None else first) % every
        extra = {index % count for index in also if count}
        return [full if index % every == start or index in extra else other for index in range(count)]

    return types


def full_at(key: str, other: str, *, missing: str) -> LayerRule:
    """The layers that the list under `key` names attend; without it every layer is of type `missing`."""

    def types(section: Section, count: int) -> list[str]:
        indices = section.integers(key)
        chosen = frozenset(indices or ())
        return [missing] * count if indices is None else [FULL if index in chosen else other for index in range(count)]

    return types


def flags(key: str, on: str, off: str, otherwise: LayerRule) -> LayerRule:
    """One 0 or 1 a layer under `key`; without it another rule holds."""

    def types(section: Section, count: int) -> list[str]:
        values = section.integers(key)
        if not values:
            return otherwise(section, count)
        if len(values) < count:
            section.findings.problem(f"{section.where(key)} must have {count} entries, got {len(values)}")
            return otherwise(section, count)
        return [on if value else off for value in values[:count]]

    return types


def repeated(key: str, names: dict[str, str], default: Sequence[str]) -> LayerRule:
    """The pattern under `key`, over and over, its entries renamed."""

    def types(section: Section, count: int) -> list[str]:
        pattern = section.strings(key) or list(default)
        return [names.get(pattern[index % len(pattern)], pattern[index % len(pattern)]) for index in range(count)]

    return types


def cycle(*pattern: str) -> LayerRule:
    """These types, over and over."""
    return lambda section, count: [pattern[index % len(pattern)] for index in range(count)]


def flint(section: Section, count: int) -> list[str]:
    """The first two layers, every fourth from 1 on and the last see everything."""
    return [FULL if index < 2 or index % 4 == 1 or index == count - 1 else SLIDING for index in range(count)]


def dots3(section: Section, count: int) -> list[str]:
    """As flint without the last; unless use_sliding_window is false. use_dsa names the layers that see everything."""
    full = FULL if section.flag("use_dsa") is False else "indexed_attention"
    windowed = section.flag("use_sliding_window") is not False
    return [SLIDING if windowed and index >= 2 and index % 4 != 1 else full for index in range(count)]


def deepseek_v4(section: Section, count: int) -> list[str]:
    """compress_ratios names each layer by 0, 4 or 128; by default two heavily compressed layers, then alternating."""
    names = {0: SLIDING, 4: "compressed_sparse_attention", 128: "heavily_compressed_attention"}
    ratios = section.integers("compress_ratios")
    if ratios is not None and len(ratios) >= count and set(ratios) <= set(names):
        return [names[ratio] for ratio in ratios[:count]]
    return [names[4] if index >= 2 and index % 2 else names[128] for index in range(count)]


def lfm3(section: Section, count: int) -> list[str]:
    """Short convolutions; of four layers the third sees everything and the first, but for the very first, a window."""
    return [FULL if index % 4 == 2 else SLIDING if index % 4 == 0 and index else "conv" for index in range(count)]


def plamo2(section: Section, count: int) -> list[str]:
    """One layer in mamba_step attends, the others are Mamba; all attend where mamba_enabled is false."""
    step = section.integer("mamba_step") or 2
    if section.flag("mamba_enabled") is False:
        return [FULL] * count
    if count <= step // 2:
        return ["mamba"] * (count - 1) + [FULL]
    return [FULL if index % step == step // 2 else "mamba" for index in range(count)]


def zamba2(section: Section, count: int) -> list[str]:
    """A shared attention block at the indices of hybrid_layer_ids."""
    indices = frozenset(section.integers("hybrid_layer_ids") or [6, 12, 18, 24, 30, 36, 42, 47, 51])
    return ["hybrid" if index in indices else LINEAR for index in range(count)]


def cohere2_moe(section: Section, count: int) -> list[str]:
    """Two patterns: one over the first dense layers, one over the rest."""
    dense = min(section.integer("first_k_dense_replace", above=-1) or 0, count)
    prefix = section.integer("prefix_dense_sliding_window_pattern") or 1
    every = section.integer("sliding_window_pattern") or 4
    places = [(index, prefix) for index in range(dense)] + [(index, every) for index in range(count - dense)]
    return [SLIDING if (index + 1) % interval else FULL for index, interval in places]
