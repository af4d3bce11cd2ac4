"""Frequencies, read off a rotation from outside: what a backend rotates by, not what it was asked for.

At position 2 ** shift the angle holds the frequency's bits from `shift` on, in front; a few such angles give them all.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.frequencies import Precision
from tightrope.verify.parity.cases import Call
from tightrope.verify.parity.subjects import Subject

EXACT_SHIFTS: Final = (48, 32, 16, 0)
FLOAT32_SHIFTS: Final = tuple(range(63))  # a frequency of 5e-17, too, reaches 256 rad
_DIGIT: Final = 16
_LARGEST_ANGLE: Final = 256.0


def measured_turns(subject: Subject, rope: RopeConfig, call: Call) -> NDArray[np.uint64]:
    """Return the frequencies under precision "exact" in 2⁻⁶⁴ turns per position, all 64 bits.

    At position 2⁴⁸ an angle shows the lowest 16 bits, at 2³² the next, and so on; angles good to 2⁻²² turns suffice.
    """
    fractions = -_angles(subject, rope, call, "exact") / (2 * np.pi)
    turns = np.zeros(rope.pairs, np.uint64)
    for shift, fraction in zip(EXACT_SHIFTS, fractions, strict=True):
        unit = 2.0 ** (64 - shift - _DIGIT)
        digit = np.round((fraction * 2.0 ** (64 - shift) - turns.astype(np.float64)) / unit).astype(np.int64)
        turns += (digit.astype(np.uint64) & np.uint64(2**_DIGIT - 1)) * np.uint64(unit)
    return turns


def measured_inv_freq(subject: Subject, rope: RopeConfig, call: Call) -> NDArray[np.float32]:
    """Return the frequencies under precision "float32".

    Each doubling of the position halves the error of the last estimate, up to an angle of 256 rad. There the error of a
    float32 sine is 2⁻³¹ of the angle, far below half an ulp of a float32. Frequencies are below π rad per position.
    """
    angles = -_angles(subject, rope, call, "float32")
    estimate = angles[0]
    for shift, angle in zip(FLOAT32_SHIFTS, angles, strict=True):
        expected = estimate * 2.0**shift
        nearest = angle + 2 * np.pi * np.round((expected - angle) / (2 * np.pi))
        estimate = np.where(np.abs(expected) < _LARGEST_ANGLE, nearest / 2.0**shift, estimate)
    return np.asarray(estimate, np.float32)


def _angles(subject: Subject, rope: RopeConfig, call: Call, precision: Precision) -> NDArray[np.float64]:
    """Return the angles at the call's positions, in [−π, π]: (seq, pairs)."""
    cos, sin = subject.cos_sin(rope, call, precision)
    return np.asarray(np.arctan2(sin[0].astype(np.float64), cos[0].astype(np.float64)))
