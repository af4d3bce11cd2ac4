"""Which rope each layer has: what attention calls, layer by layer, against `ModelRope.layers`."""

import tightrope
from sweep.theirs.tracing import Trace

ROTATED = "rotated"


def expected_layers(found: Trace) -> list[str | None]:
    """Return for each layer the layer type that its attention rotates with, `ROTATED` where types have no names,
    None where it rotates nothing.
    """
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
    return read in (expected, "default")
