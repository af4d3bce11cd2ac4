"""What tells two rotations apart, in words."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import numpy as np

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.config.terms import Layout
from tightrope.rope.errors import shortened
from tightrope.rope.frequencies import frequencies
from tightrope.rope.identity.fingerprints import as_model, rope_fingerprint, statement


def differences(first: object, second: object, seq_len: int | None = None) -> tuple[str, ...]:
    """Return what differs between the rotations of two models, a line each; () where their fingerprints are equal.

    Args:
        first: See `tightrope.fingerprint`.
        second: The same.
        seq_len: See `tightrope.fingerprint`.
    """
    one, other = as_model(first), as_model(second)
    if len(one.layers) != len(other.layers):
        return (f"layers: {len(one.layers)} and {len(other.layers)}",)
    found: dict[str, list[int]] = {}
    for index, (a, b) in enumerate(_pairs(one, other)):
        for line in _between(a, b, (one.published_layout, other.published_layout), seq_len):
            found.setdefault(line, []).append(index)
    every = max(1, len(one.layers))
    return tuple(f"{_where(layers, every)}: {line}" for line, layers in found.items())


def other_differences(first: object, second: object) -> tuple[str, ...]:
    """Return what differs between two models beside the rotation of their keys, a line each.

    The declared context of each rope, the scale of the logits, and the attention temperature by position.

    Args:
        first: See `tightrope.fingerprint`.
        second: The same.
    """
    one, other = (_besides(as_model(source)) for source in (first, second))
    return tuple(
        f"{name} {shortened(one.get(name))} and {shortened(other.get(name))}"
        for name in dict.fromkeys((*one, *other))
        if one.get(name) != other.get(name)
    )


def _besides(model: ModelRope) -> dict[str, object]:
    several = len(model.ropes) > 1
    contexts = {
        f"{key}: max_position_embeddings" if several else "max_position_embeddings": rope.max_position_embeddings
        for key, rope in model.ropes.items()
    }
    return {"softmax_scale": model.softmax_scale, "query_scales": dict(model.query_scales), **contexts}


def _pairs(one: ModelRope, other: ModelRope) -> list[tuple[RopeConfig | None, RopeConfig | None]]:
    if one.layers:
        return [(one.for_layer(index), other.for_layer(index)) for index in range(len(one.layers))]
    ropes = [sorted(model.ropes.values(), key=rope_fingerprint) for model in (one, other)]
    paired: list[Any] = list(zip_longest(*ropes))
    return paired


def _between(
    a: RopeConfig | None, b: RopeConfig | None, layouts: tuple[Layout | None, Layout | None], seq_len: int | None
) -> Iterator[str]:
    if a is None or b is None:
        if a is not b:
            first, second = ("no position" if rope is None else "rotated" for rope in (a, b))
            yield f"{first} in the first, {second} in the second"
        return
    said, other = (statement(rope, seq_len, layout=layout) for rope, layout in zip((a, b), layouts, strict=True))
    for name in ("layout", "side", "head_dim", "rotary_dim"):
        if said[name] != other[name]:
            yield f"{name} {said[name]!r} and {other[name]!r}"
    if said["axes"] != other["axes"] and a.rotary_dim == b.rotary_dim:
        yield f"position axes of the pairs: mrope {_sections(a)} and {_sections(b)}"
    if said["frequencies"] != other["frequencies"]:
        yield from _frequencies(a, b, seq_len)


def _frequencies(a: RopeConfig, b: RopeConfig, seq_len: int | None) -> Iterator[str]:
    """Yield how far the frequencies are apart, and what states them."""
    causes = [f"{name} {x} and {y}" for name, x, y in _causes(a, b) if x != y]
    because = f" ({', '.join(causes)})" if causes else ""
    if seq_len is None and (a.scaling.follows_length or b.scaling.follows_length):
        yield f"frequencies by length{because}"
        return
    one, other = (frequencies(rope, seq_len) for rope in (a, b))
    if one.attention_factor != other.attention_factor:
        yield f"attention_factor {one.attention_factor!r} and {other.attention_factor!r}"
    if one.inv_freq.shape == other.inv_freq.shape and not np.array_equal(one.inv_freq, other.inv_freq):
        apart = np.abs(one.inv_freq - other.inv_freq)
        largest = apart / np.maximum(np.abs(one.inv_freq), np.abs(other.inv_freq)).clip(np.finfo(float).tiny)
        pairs = int(np.count_nonzero(apart))
        yield f"inv_freq of {pairs} of {a.pairs} pairs, by up to {largest.max():.3g} of its value{because}"


def _causes(a: RopeConfig, b: RopeConfig) -> Iterator[tuple[str, object, object]]:
    yield "base", f"{a.base:.17g}", f"{b.base:.17g}"
    yield "direction", a.direction, b.direction
    yield "rope_type", a.scaling.rope_type, b.scaling.rope_type
    if a.scaling.follows_length or b.scaling.follows_length:
        yield "original length", a.original_length, b.original_length
    one, other = a.scaling.to_block(), b.scaling.to_block()
    for name in sorted(one.keys() | other.keys()):
        yield name, shortened(one.get(name)), shortened(other.get(name))


def _sections(rope: RopeConfig) -> str:
    return "none" if rope.mrope is None else f"{list(rope.mrope.sections)} {rope.mrope.order}"


def _where(layers: list[int], count: int) -> str:
    if len(layers) == count:
        return "every layer"
    listed = ", ".join(map(str, layers[:6])) + (", …" if len(layers) > 6 else "")
    return f"layer{'s' if len(layers) > 1 else ''} {listed} of {count}"
