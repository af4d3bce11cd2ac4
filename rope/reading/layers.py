"""Which layers have which attention, and which have no position: the small named rules of the family table."""

from collections.abc import Sequence

from tightrope.rope.reading.family import LayerRule, NoPositionRule
from tightrope.rope.reading.sheet import Sheet

SLIDING, FULL = "sliding_attention", "full_attention"

# Layers that attend by recurrence or not at all: nothing is rotated there.
WITHOUT_ATTENTION = frozenset({"linear_attention", "conv", "mamba", "mamba2", "moe", "mlp", "recurrent", "rwkv"})


def full_every(interval: int, *keys: str, first: int | None = None) -> LayerRule:
    """Every interval-th layer sees everything, the others a window; `keys` may give another interval.

    `first` is the index of the first such layer, interval − 1 if not given.
    """

    def types(sheet: Sheet, count: int) -> list[str]:
        every = (sheet.integer(*keys) if keys and not isinstance(sheet.values.get(keys[0]), str) else None) or interval
        start = (every - 1 if first is None else first) % every
        return [FULL if index % every == start else SLIDING for index in range(count)]

    return types


def only(*layer_types: str, unless_null: str | None = None) -> NoPositionRule:
    """Positions only in layers of these types; in all of them where `unless_null` names a key that is null."""

    def rule(sheet: Sheet, types: Sequence[str]) -> list[bool]:
        if unless_null is not None and sheet.values.get(unless_null, True) is None:
            return [False] * len(types)
        return [layer not in layer_types for layer in types]

    return rule


def zeros_of(key: str, interval: int, interval_key: str) -> NoPositionRule:
    """No position where the list under `key` has 0; without a list (or with an empty one) in every interval-th layer."""

    def rule(sheet: Sheet, types: Sequence[str]) -> list[bool]:
        every = sheet.integer(interval_key) or interval
        return [(index + 1) % every == 0 for index in range(len(types))]

    return rule
