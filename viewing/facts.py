"""What a configuration means, in plain values: for JSON, and for the tables of `tightrope inspect`."""

import math
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.mrope import MRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.viewing.curves import Curve, context_lengths, curves, layers_in_words


def facts(model: ModelRope) -> dict[str, Any]:
    """Return everything that reading found: ropes with their frequencies, layers, factors, notes."""
    return {
        "model_type": model.model_type,
        "ropes": {key: _rope_facts(model, key) for key in model.ropes},
        "layers": list(model.layers),
        "softmax_scale": model.softmax_scale,
        "query_scales": {key or "without position": vars(scale) for key, scale in model.query_scales.items()},
        "notes": list(model.notes),
    }


def _rope_facts(model: ModelRope, key: str) -> dict[str, Any]:
    rope = model.ropes[key]
    return {
        "rope_type": rope.scaling.rope_type,
        "parameters": rope.scaling.to_block(),
        "base": rope.base,
        "head_dim": rope.head_dim,
        "rotary_dim": rope.rotary_dim,
        "side": rope.side,
        "layout": rope.layout,
        "direction": rope.direction,
        "max_position_embeddings": rope.max_position_embeddings,
        "original_length": rope.original_length,
        "mrope": _axes_facts(rope.mrope),
        "fractional": rope.fractional,
        "layers": layers_in_words(model, key),
        "tables": [_table_facts(rope, table) for table in curves(rope)],
    }


def _axes_facts(mrope: MRope | None) -> dict[str, Any] | None:
    if mrope is None:
        return None
    return {"sections": list(mrope.sections), "order": mrope.order, "progression": mrope.progression}


def _table_facts(rope: RopeConfig, table: Curve) -> dict[str, Any]:
    wavelengths = [None if math.isinf(value) else value for value in table.wavelengths.tolist()]
    return {
        "holds": table.label or "always",
        "seq_len": table.seq_len,
        "attention_factor": table.attention_factor,
        "inv_freq": table.inv_freq.tolist(),
        "wavelengths": wavelengths,
        "rotating_within": {str(length): table.rotating_within(length) for length in context_lengths(rope).values()},
    }


def layers_line(layers: list[str | None]) -> str:
    """Return the kinds of all layers, a repeated pattern once: `"0-4 sliding, 5 full, repeated every 6 layers"`."""
    count = len(layers)
    period = next((step for step in range(1, count // 2 + 1) if layers[step:] == layers[:-step]), count)
    line = ", ".join(_runs(layers[:period]))
    return line if period == count else f"{line}, repeated every {period} layers up to {count - 1}"


def _runs(layers: list[str | None]) -> Iterator[str]:
    """Yield neighbours of one kind together: `"0-4 sliding_attention"`."""
    for key, group in groupby(enumerate(layers), key=lambda item: item[1]):
        indices = [index for index, _ in group]
        span = f"{indices[0]}" if len(indices) == 1 else f"{indices[0]}-{indices[-1]}"
        yield f"{span} {key or 'without position'}"
