"""Which rope each layer has: what attention calls, layer by layer, against `ModelRope.layers`."""

import copy

from sweep.cases import Case
from sweep.tracing import CannotRun, Trace, trace

import tightrope

ROTATED = "rotated"


def traced_layers(case: Case) -> list[str | None]:
    """Return for each layer the layer type that its attention rotates with, `ROTATED` where types have no names,
    None where it rotates nothing.

    Raises:
        CannotRun: The model does not run without data, or its layers were not found.
    """
    found: Trace = trace(case.rope.rotary, copy.deepcopy(case.config))
    if not found.layers:
        raise CannotRun("its layers were not found")
    return [(calls[0].label or ROTATED) if calls else None for calls in found.by_layer()]


def difference(expected: list[str | None], model: tightrope.ModelRope) -> str | None:
    """Return where `ModelRope.layers` differs, None where every layer agrees."""
    if len(expected) != len(model.layers):
        return f"there are {len(expected)} layers, {len(model.layers)} were read"
    wrong = [
        f"layer {index}: {wanted or 'no position'}, read {got or 'no position'}"
        for index, (wanted, got) in enumerate(zip(expected, model.layers, strict=True))
        if not _agree(wanted, got)
    ]
    return f"{len(wrong)} of {len(expected)} layers differ; {'; '.join(wrong[:3])}" if wrong else None


def _agree(expected: str | None, read: str | None) -> bool:
    if expected is None or expected == ROTATED:
        return (expected is None) == (read is None)
    return expected == read or read == "default"
