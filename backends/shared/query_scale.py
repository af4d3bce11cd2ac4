"""Attention temperature on a framework's arrays: the factor on the query that grows with its position."""

import numpy as np

from tightrope.backends.shared.ops import Array, Ops
from tightrope.backends.shared.positions import host_integers
from tightrope.rope.config.query_scale import QueryScale
from tightrope.rope.errors import RopeConfigError, shortened


def query_scale_at(ops: Ops, scale: QueryScale | None, positions: Array) -> Array:
    """Return the factor at each position, float32, of the positions' shape; 1 where there is no rule.

    The rule is `QueryScale`'s; whole numbers are divided as such, the rest is float32. Nothing is read by the host.

    Raises:
        RopeConfigError: Positions are not whole numbers.
    """
    if isinstance(positions, np.ndarray):
        positions = ops.from_numpy(host_integers("positions", positions), None)
    if not ops.is_array(positions) or not ops.is_integer(positions):
        got = shortened(getattr(positions, "dtype", positions))
        raise RopeConfigError(f"positions must be an integer array of {ops.framework} or numpy, got {got}")
    positions = ops.int64(positions)
    if scale is None:
        return ops.float32(positions * 0 + 1)
    shifted = positions + scale.shift
    shifted = shifted * (shifted > 0)  # left padding counts as the first position
    if scale.form == "power":
        return (1 + ops.float32(shifted) / scale.length) ** scale.beta
    # Arrays of both frameworks have log1p as a method.
    return 1 + scale.beta * ops.float32(shifted // scale.length).log1p()
