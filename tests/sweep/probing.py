"""What a rope of transformers is, found by rotating unit vectors: a disagreement is explained in these words."""

import numpy as np

from sweep.cases import Case


def describe(case: Case) -> dict:
    """Return head_dim, rotary_dim, layout, side, direction, axes and base of a case, as its attention rotates."""
    partners = _partners(case)
    turned = [channel for channel, partner in enumerate(partners) if partner is not None]
    layout = "none"
    if turned:
        first = turned[0]
        layout = "interleaved" if abs(partners[first]) == first + 1 else f"half ({abs(partners[first]) - first} apart)"
    return {
        "head_dim": case.head_dim,
        "rotary_dim": len(turned),
        "layout": layout,
        "side": "tail" if turned and turned[0] > 0 else "head",
        "direction": -1 if turned and partners[turned[0]] < 0 else 1,
        "axes": case.rope.axes,
        "rope_parameters": case.rope.block,
    }


def _partners(case: Case) -> list[int | None]:
    """Return for each channel the one that its unit vector leaks into, negative where the sine is; None for none."""
    width = case.head_dim
    positions = case.for_family(np.ones((1, 1), np.int64))
    unit = np.eye(width, dtype=np.float32)[None, :, None, :]
    rotated = _rotate_heads(case, unit, positions)
    np.fill_diagonal(rotated, 0)
    found = np.abs(rotated).argmax(axis=1)
    values = rotated[np.arange(width), found]
    return [int(np.copysign(c, v)) if v else None for c, v in zip(found, values, strict=True)]


def _rotate_heads(case: Case, unit: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return each unit vector rotated; one head at a time where only the first is rotated."""
    if type(case.rope).__name__ != "FirstHeadRope":
        return case.rope.rotate(unit, unit[:, :1], positions)[0][0, :, 0].copy()
    return np.stack([case.rope.rotate(unit[:, [c]], unit[:, :1], positions)[0][0, 0, 0] for c in range(unit.shape[-1])])
