"""How far results may lie apart: the one table of the tests, each row with its derivation.

Unit: ulps of the pair's norm, in the dtype of the tensor (eps = 2 ** (1 − digits)); ulps of one channel say nothing
where x1 · cos and x2 · sin cancel. The first rows are those of `tightrope parity`.
"""

import numpy as np

from tightrope.rope.reference import pair_slices
from tightrope.verify.parity.differences import EPS
from tightrope.verify.parity.tolerances import between, from_exact


def rotation(dtype="float32", *, precision="exact", scaled=False):
    """One rotation against exact arithmetic on the same inputs."""
    return from_exact("rotation", precision=precision, dtype=dtype, scaled=scaled)


def two_rotations(dtype="float32", *, precision="exact"):
    """Two rotations of the same input by the same angles: the triangle inequality."""
    one = rotation(dtype, precision=precision)
    return between(one, one)


def composed(dtype="float32"):
    """R(m) R(n) x against R(m + n) x: three rotations, each off by one; a rotation carries an error along unchanged."""
    return 3 * rotation(dtype)


def dot_product(dtype="float32"):
    """⟨R(m) q, R(n) k⟩ against ⟨R(m + s) q, R(n + s) k⟩, in units of Σ |q pair| |k pair|: four rotations."""
    return 4 * rotation(dtype)


def gradient(dtype="float32"):
    """The transposed rotation of the cotangent: as far off as the rotation."""
    return from_exact("gradient", dtype=dtype)


# Two moves of a float32 key, promised: each is two roundings of at most ½ ulp of the norm, and cos and sin that are off
# by less than theirs where errors add up worst. Measured over 10⁷ pairs: 1.99.
TWO_MOVES = 2.0

# cos and sin, absolute, where the attention factor is 1: what precision "exact" promises at any position up to 10⁷.
ANGLE = 1e-7

# mx.fast.rope takes 1 / inv_freq in float32 and multiplies positions in float32: rounding both, the product and the
# reciprocal costs 4 · 2⁻²⁴ of an angle of up to `largest` radians; its cos and sin another eps.
FAST_ROPE_ANGLE = 4 * 2.0**-24


def fast_rope(largest):
    """mx.fast.rope(freqs=…) against ours in precision "float32", absolute, per unit of the pair's norm."""
    return FAST_ROPE_ANGLE * largest + (rotation() + 2) * EPS["float32"]


def apart(got, expected, norms, dtype="float32"):
    """Return the largest difference in ulps of the norm of the pair that each channel belongs to."""
    assert got.shape == expected.shape, (got.shape, expected.shape)
    assert got.size, "nothing to compare"
    difference = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    scale = EPS[dtype] * norms
    ulps = np.divide(difference, scale, out=np.where(difference > 0, np.inf, 0.0), where=scale > 0)
    return float(ulps.max())


def pair_norms(x, config):
    """Return for every channel of x the norm of its pair; 0 where it does not rotate, and must not change at all."""
    norms = np.zeros(x.shape, np.float64)
    first, second = pair_slices(x.shape[-1], config.pairs, config.layout, config.side)
    pair = np.hypot(x[..., first].astype(np.float64), x[..., second].astype(np.float64))
    norms[..., first] = norms[..., second] = pair
    return norms
