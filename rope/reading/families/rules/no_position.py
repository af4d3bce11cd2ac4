"""Which layers, and which models, have no position: small named rules of the family table."""

from collections.abc import Sequence

from tightrope.rope.reading.families.family import NoPositionRule, WithoutRule
from tightrope.rope.reading.families.rules.compared import compare_rule
from tightrope.rope.reading.families.rules.layer_types import SLIDING
from tightrope.rope.reading.section import Section, shortened


def only(*layer_types: str) -> NoPositionRule:
    """Positions only in layers of these types."""

    def rule(section: Section, types: Sequence[str]) -> list[bool]:
        return [layer not in layer_types for layer in types]

    return rule


def sliding_only(*, without_window: bool) -> NoPositionRule:
    """Positions only in sliding layers; where sliding_window is null, in all layers or in none (`without_window`)."""

    def rule(section: Section, types: Sequence[str]) -> list[bool]:
        if section.is_null("sliding_window"):
            return [not without_window] * len(types)
        return [layer != SLIDING for layer in types]

    return rule


def cohere2_moe_positions(section: Section, types: Sequence[str]) -> list[bool]:
    """As `sliding_only`, and in dense layers where prefix_dense_sliding_window_pattern is 1."""
    dense = section.integer("first_k_dense_replace", above=-1) or 0
    kinds = section.strings("mlp_layer_types") or ["dense"] * dense
    forced = section.integer("prefix_dense_sliding_window_pattern") in (None, 1)
    without = sliding_only(without_window=False)(section, types)
    return [
        no_position and not (forced and index < len(kinds) and kinds[index] == "dense")
        for index, no_position in enumerate(without)
    ]


def no_rope_layers(otherwise: NoPositionRule | None = None) -> NoPositionRule:
    """By no_rope_layers where it is stated (1 means that a layer has a position); without it another rule holds."""

    def rule(section: Section, types: Sequence[str]) -> list[bool]:
        stated = section.integers("no_rope_layers")
        if stated:
            return _listed(section, types, stated, otherwise)
        if stated is not None and otherwise is not None:
            section.findings.note(f"{section.where('no_rope_layers')} is empty: the family's default pattern holds")
        return otherwise(section, types) if otherwise else [False] * len(types)

    return rule


def _listed(
    section: Section, types: Sequence[str], stated: Sequence[int], otherwise: NoPositionRule | None
) -> list[bool]:
    if len(stated) < len(types):
        section.findings.problem(f"{section.where('no_rope_layers')} must have {len(types)} entries, got {len(stated)}")
        return [False] * len(types)
    without = [not has for has in stated[: len(types)]]
    compare_rule(section, "no_rope_layers", without, otherwise and (lambda own: otherwise(own, types)))
    return without


def every_nth(interval: int, key: str) -> NoPositionRule:
    """No position in every interval-th layer; `key` may give another interval."""

    def rule(section: Section, types: Sequence[str]) -> list[bool]:
        every = section.integer(key) or interval
        return [(index + 1) % every == 0 for index in range(len(types))]

    return rule


def listed(key: str, default: Sequence[int]) -> NoPositionRule:
    """No position in the layers whose indices `key` lists."""

    def rule(section: Section, types: Sequence[str]) -> list[bool]:
        stated = section.integers(key)
        indices = frozenset(default if stated is None else stated)
        return [index in indices for index in range(len(types))]

    return rule


def zero_bases(otherwise: NoPositionRule | None = None) -> NoPositionRule:
    """No position where layer_rope_theta has 0; without that list another rule holds."""

    def rule(section: Section, types: Sequence[str]) -> list[bool]:
        bases = section.list_of((int, float), "numbers", "layer_rope_theta")
        if bases is not None and len(bases) >= len(types):
            return [not base for base in bases[: len(types)]]
        if bases is not None:
            section.findings.problem(
                f"{section.where('layer_rope_theta')} must have {len(types)} entries, got {len(bases)}"
            )
        return otherwise(section, types) if otherwise else [False] * len(types)

    return rule


def last_of_four(section: Section, types: Sequence[str]) -> list[bool]:
    """No position in the last layer and in every fourth before it."""
    return [(len(types) - 1 - index) % 4 == 0 for index in range(len(types))]


def without_if(key: str, value: object, reason: str, default: object = None) -> WithoutRule:
    """No rotary positions where `key` (or its default) has this value."""

    def rule(section: Section) -> str | None:
        stated = _stated(section, key, value)
        holds = (default if stated is None else stated) == value
        return f"{section.where(key)} {stated!r}: {reason}" if holds else None

    return rule


def without_unless(key: str, value: object, reason: str, default: object = None) -> WithoutRule:
    """No rotary positions unless `key` (or its default) has this value."""

    def rule(section: Section) -> str | None:
        stated = _stated(section, key, value)
        holds = (default if stated is None else stated) == value
        return None if holds else f"{section.where(key)} {shortened(stated)}: {reason}"

    return rule


def _stated(section: Section, key: str, value: object) -> object:
    return section.flag(key) if isinstance(value, bool) else section.text(key)


def always_without(reason: str) -> WithoutRule:
    """No rotary positions in any model of the family."""

    def rule(section: Section) -> str | None:
        return reason

    return rule


def null_base(section: Section) -> str | None:
    """OLMo-Hybrid: a base of null means that nothing rotates; the block's counts before the one at the top."""
    block = section.inner("rope_scaling") or section.inner("rope_parameters")
    owner = section if block is None or "rope_theta" not in block.values else block
    return f"{owner.where('rope_theta')} is null: nothing rotates" if owner.is_null("rope_theta") else None


def baichuan(section: Section) -> str | None:
    """The 7B models rotate, the 13B models (hidden_size 5120) have ALiBi; the files do not say which."""
    return "Baichuan 13B (hidden_size 5120) uses ALiBi" if section.get("hidden_size") == 5120 else None
