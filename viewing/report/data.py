"""What the report shows, as JSON: every table a rope has along a grid of sequence lengths, and the findings."""

import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.verify.audit import Audit
from tightrope.verify.parity import Comparison, ModelReport, ParityReport
from tightrope.viewing.curves import Curve, channels_of_pair, context_lengths, curve, rope_in_words, unscaled
from tightrope.viewing.facts import layers_line
from tightrope.viewing.verdicts import WORDS, verdict

_SHORTEST: Final = 16
_STEPS: Final = 48
_WORST_SHOWN: Final = 10.0


def report_data(model: ModelRope, title: str, parity: ParityReport | None, audit: Audit | None) -> dict[str, Any]:
    """Return the content of a report.

    Args:
        model: The ropes.
        title: The model's name.
        parity: What `tightrope parity` found for this configuration alone.
        audit: What `tightrope audit` found for it.
    """
    return {
        "title": title,
        "model_type": model.model_type,
        "made": _made(),
        "layers": layers_line(list(model.layers)) if len(set(model.layers)) > 1 else "",
        "notes": list(model.notes),
        "ropes": [_rope(model, key) for key in model.ropes],
        "parity": None if parity is None else _parity(parity),
        "audit": None if audit is None else _audit(audit),
    }


def _made() -> str:
    import tightrope

    moment = datetime.now(UTC).strftime("%Y-%m-%d")
    machine = f"{platform.system()} {platform.machine()}"
    return f"{moment}, tightrope {tightrope.__version__}, Python {platform.python_version()}, {machine}"


def _rope(model: ModelRope, key: str) -> dict[str, Any]:
    rope = model.ropes[key]
    plain = unscaled(rope)
    lengths = slider_lengths(rope)
    tables, steps = _tables(rope, lengths)
    zone = rope.scaling.blend_zone(rope)
    return {
        "key": key,
        "words": rope_in_words(model, key).removeprefix(f"{key}: "),
        "rope_type": rope.scaling.rope_type,
        "channels": [channels_of_pair(rope, pair) for pair in range(rope.pairs)],
        "axes": None if rope.mrope is None else list(rope.mrope.pair_axes(rope.pairs)),
        "unscaled": plain.inv_freq.tolist(),
        "contexts": context_lengths(rope),
        "blend": None if zone is None else list(zone),
        "lengths": lengths,
        "steps": steps,
        "tables": [{"inv_freq": one.inv_freq.tolist(), "attention_factor": one.attention_factor} for one in tables],
    }


def slider_lengths(rope: RopeConfig) -> list[int]:
    """Return sequence lengths on a logarithmic grid, with those at which something changes."""
    marks = set(context_lengths(rope).values())
    switch = rope.scaling.switch_length(rope)
    marks |= set() if switch is None else {switch, switch + 1}
    longest = 4 * max(marks, default=8192)
    grid = np.geomspace(_SHORTEST, longest, _STEPS).astype(np.int64).tolist()
    return sorted({*grid, *(mark for mark in marks if mark >= _SHORTEST)})


def _tables(rope: RopeConfig, lengths: Iterable[int]) -> tuple[list[Curve], list[int]]:
    """Return the different tables that hold along these lengths, and for each length the index of its own."""
    tables: dict[int | None, Curve] = {}
    keys = [rope.scaling.effective_length(rope, length) for length in lengths]
    for key, length in zip(keys, lengths, strict=True):
        tables.setdefault(key, curve(rope, length))
    order = {key: index for index, key in enumerate(tables)}
    return list(tables.values()), [order[key] for key in keys]


def _parity(report: ParityReport) -> dict[str, Any]:
    """Return a heat map: a row per quantity, a column per pair of subjects, the worst difference in each cell."""
    (model,) = report.models
    columns = list(dict.fromkeys(_against(one) for one in model.comparisons))
    rows: dict[str, dict[str, list[Comparison]]] = {}
    for one in model.comparisons:
        rows.setdefault(_quantity(one, model), {}).setdefault(_against(one), []).append(one)
    return {
        "backends": [f"{one.name}:{one.device}: {one.version}, {one.path}" for one in report.backends],
        "absent": list(report.absent),
        "verdict": model.verdict,
        "columns": columns,
        "rows": list(rows),
        "cells": [[_cell(row.get(column, [])) for column in columns] for row in rows.values()],
    }


def _quantity(one: Comparison, model: ModelReport) -> str:
    parts = (one.rope if len(model.ropes) > 1 else "", one.kind, one.numbers)
    return " ".join(filter(None, parts))


def _against(one: Comparison) -> str:
    return f"{one.left} − {one.right}"


def _cell(comparisons: list[Comparison]) -> Mapping[str, Any] | None:
    """Return the worst of several comparisons: its share of what is allowed, and words."""
    if not comparisons:
        return None
    figures = [one.figure for one in comparisons if one.figure is not None]
    agrees = all(one.agrees for one in comparisons)
    if not figures:
        return {"share": _WORST_SHOWN, "text": "failed", "agrees": agrees}
    ulps = max(one.ulps for one in figures)
    allowed = min(one.tolerance for one in comparisons)
    identical = all(one.identical for one in figures)
    share = 0.0 if ulps == 0 else min(ulps / allowed if allowed else _WORST_SHOWN, _WORST_SHOWN)
    text = "identical" if identical else f"{ulps:.2g} of {allowed:.2g} ulp"
    return {"share": share, "text": text, "agrees": agrees, "calls": len(comparisons)}


def _audit(audit: Audit) -> dict[str, Any]:
    """Return a heat map: a row per library and rope, a column per position."""
    found = [(peer, rope) for peer in audit.peers for rope in peer.ropes]
    positions = sorted({position for _, rope in found for position in rope.errors})
    several = len({rope.key for _, rope in found}) > 1
    return {
        "remark": audit.remark,
        "verdicts": [
            {"status": peer.status, "label": WORDS[peer.status], "words": verdict(peer)} for peer in audit.peers
        ],
        "positions": positions,
        "rows": [f"{peer.peer}, {rope.key}" if several else peer.peer for peer, rope in found],
        "errors": [[_finite(rope.errors.get(position)) for position in positions] for _, rope in found],
    }


def _finite(error: float | None) -> float | None:
    return error if error is not None and np.isfinite(error) else None
