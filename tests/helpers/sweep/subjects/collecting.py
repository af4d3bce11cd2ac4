"""Every case of the sweep: family × configuration × rope type × rope of the configuration × content."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import transformers

from sweep.subjects.cases import Case, heads
from sweep.subjects.discovery import RotaryClass, rotary_classes
from sweep.subjects.published import PUBLISHED, as_read, file_of
from sweep.subjects.settings import CONFIGS, CONFIGURATIONS, NOT_ROTATED, WITHOUT_ROPE_TYPES
from sweep.subjects.variants import (
    IN_ROPE_SCALING,
    ROPE_TYPES,
    build,
    takes_rope_types,
    variants,
    with_rope_scaling,
    with_rope_type,
)
from sweep.theirs.driving import Rope, nested_keys, ropes_of
from sweep.theirs.special import SPECIAL, WITHOUT_CLASS, stand_in
from sweep.theirs.vision import AxialRope, axial_rope, is_axial

# transformers warns about defaults that it then ignores; the sweep is about what it computes.
logging.getLogger("transformers").setLevel(logging.CRITICAL)


@dataclass
class Sweep:
    """What can be driven, and what cannot: (name, reason)."""

    cases: list[Case] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def token_classes() -> Iterator[RotaryClass]:
    """Yield the rotary classes that rotate by the position of a token or of a patch, stand-ins included."""
    for rotary in rotary_classes():
        by_position = "position_ids" in rotary.arguments or rotary.cls.__name__ in SPECIAL or is_axial(rotary)
        if by_position and rotary.family not in NOT_ROTATED:
            yield replace(rotary, configs=_named_configs(rotary))
    with_class = {rotary.family for rotary in rotary_classes()}
    for family, (_, config_name) in WITHOUT_CLASS.items():
        if family not in with_class:  # transformers 5.24 gave some of them one
            yield stand_in(family, config_name)


def _named_configs(rotary: RotaryClass) -> tuple[type, ...]:
    names = CONFIGS.get(rotary.key)
    return tuple(_config_class(rotary, name) for name in names) if names else rotary.configs


def _config_class(rotary: RotaryClass, name: str) -> type:
    return getattr(rotary.module, name, None) or getattr(transformers, name)


def sweep(families: tuple[str, ...] = ()) -> Sweep:
    """Return every case, of these families or of all."""
    found = Sweep()
    for rotary in token_classes():
        if not families or rotary.family in families:
            for cls in rotary.configs:
                _add_class(found, rotary, cls)
    return found


def _add_class(found: Sweep, rotary: RotaryClass, cls: type) -> None:
    """Add a configuration class: its default, what `settings` adds, the last of them with other rope types, files."""
    configurations = {"default": {}, **CONFIGURATIONS.get(cls.__name__, {})}
    ran = [
        (label, options)
        for label, options in configurations.items()
        if _try(found, rotary, label, "default", partial(build, cls, options)) and label != WITHOUT_ROPE_TYPES
    ]
    if ran and takes_rope_types(rotary):
        label, options = ran[-1]
        for variant, spec in variants(rotary).items():
            _try(found, rotary, label, variant, partial(with_rope_type, cls, options, spec))
        if nested_keys(build(cls, options)):
            for variant in IN_ROPE_SCALING:
                make = partial(with_rope_scaling, cls, options, ROPE_TYPES[variant])
                _try(found, rotary, label, f"{variant} in rope_scaling", make)
    for label, keys in PUBLISHED.get(cls.__name__, {}).items():
        file = file_of(cls, keys)
        _try(found, rotary, "published", label, partial(as_read, cls, file), file)


def _try(
    found: Sweep, rotary: RotaryClass, configuration: str, variant: str, make: partial, file: dict | None = None
) -> list[Case]:
    """Add the cases of a configuration that runs; note why it does not."""
    try:
        config = make()
        cases = [
            Case(rope, config, configuration, variant, content, file)
            for rope in _ropes(rotary, config)
            for content in _contents(rope)
        ]
        for case in cases:
            positions = case.positions()[-1]
            q, k = heads(case.head_dim, positions)
            case.rope.rotate(q, k, case.for_family(positions))
    except Exception as error:  # whatever transformers raises is the reason
        name = f"{rotary.key}/{make.args[0].__name__}/{configuration}/{variant}"
        found.skipped.append((name, f"{type(error).__name__}: {str(error).strip()[:160]}"))
        return []
    found.cases += cases
    return cases


def _ropes(rotary: RotaryClass, config) -> list[Rope]:
    if rotary.family in WITHOUT_CLASS:
        return [WITHOUT_CLASS[rotary.family][0](rotary, config)]
    if rotary.cls.__name__ in SPECIAL:
        return [SPECIAL[rotary.cls.__name__](rotary, config)]
    if is_axial(rotary):
        return [axial_rope(rotary, config)]
    return list(ropes_of(rotary, config))


def _contents(rope: Rope) -> tuple[str, ...]:
    if isinstance(rope, AxialRope):
        return ("patches",)
    return ("text", "picture") if rope.axes > 1 else ("text",)
