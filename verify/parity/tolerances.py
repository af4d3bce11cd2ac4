"""How far results may lie apart: the one table, each row with its derivation.

Unit: ulps of the pair's norm (see `figures`); for angles the pair is (cos, sin) and its norm the attention factor.
One rounding to nearest moves a member of the pair by at most ½ ulp of the pair's norm. Kernels have no tolerance among
themselves and against the definition: they promise its bits.
"""

from typing import Final, Literal

from tightrope.rope.frequencies import Precision
from tightrope.rope.reference import DType
from tightrope.verify.parity.differences import EPS

CheckKind = Literal["frequencies", "angles", "rotation", "gradient", "trajectory"]

# Of cos and sin, absolute. Exact: over all 2³² phases the shared polynomial is off by at most 7.6e-8, a framework's own
# cos and sin of the folded angle by 9.1e-8; 1e-7 is what is promised.
# float32: the reference has the same float32 angle; 2⁻²³ is 2 ulp of a float32 below 1, for a framework's cos and sin.
_ANGLE: Final[dict[Precision, float]] = {"exact": 1e-7, "float32": EPS["float32"]}

# Rounding the attention factor to float32, and rounding its product with cos: ½ ulp each.
_ATTENTION_FACTOR: Final = 1.0

# x1 · c and x2 · s with |c|, |s| off by δ move y1 by (|x1| + |x2|) δ ≤ √2 · norm · δ.
_PAIR: Final = 2**0.5

# fl(x2 · s) and the fused multiply-add; or three roundings without fma, where the two products together count as one,
# because |x1 · c| + |x2 · s| ≤ norm.
_ROTATION: Final = 1.0

# The result's rounding to bfloat16 or float16. In float32 it is the last of the rotation's own.
_STORE: Final[dict[str, float]] = {"float32": 0.0, "bfloat16": 0.5, "float16": 0.5}


def from_exact(
    kind: CheckKind, *, precision: Precision = "exact", dtype: DType = "float32", scaled: bool = False
) -> float:
    """Return how many ulps a backend may be off the exact result.

    Args:
        kind: What is compared. Frequencies must be right to the last bit.
        precision: How the angles were computed.
        dtype: The tensor's, whose ulp is meant.
        scaled: The attention factor is not 1.
    """
    if kind == "frequencies":
        return 0.0
    angle = _ANGLE[precision] / EPS["float32"] + (_ATTENTION_FACTOR if scaled else 0.0)
    if kind in ("angles", "trajectory"):
        return angle
    return (_PAIR * angle + _ROTATION) * EPS["float32"] / EPS[dtype] + _STORE[dtype]


def between(first: float, second: float) -> float:
    """Return how far two results may lie apart, each so far off the exact one: the triangle inequality."""
    return first + second
