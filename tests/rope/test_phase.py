"""A phase is reduced modulo one turn without rounding, at every position."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope import RopeConfigError
from tightrope.rope.phase import phase, turns

INV_FREQ = st.floats(-1e6, 1e6, allow_subnormal=False)
POSITIONS = st.integers(-(2**40), 2**40)


def true_turns(value):
    with mpmath.workprec(600):
        return int(mpmath.nint(mpmath.mpf(value) * 2**64 / (2 * mpmath.pi))) % 2**64


@given(INV_FREQ)
def test_turns_are_correctly_rounded(value):
    assert int(turns(np.array([value]))[0]) == true_turns(value)


@pytest.mark.parametrize("value", [1.0, 2 * np.pi, 1e18, 5e-324, 0.0, -0.0, -1.0])
def test_turns_of_remarkable_frequencies(value):
    assert int(turns(np.array([value]))[0]) == true_turns(value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**64])
def test_a_frequency_without_turns_is_refused(value):
    with pytest.raises(RopeConfigError, match="inv_freq must be finite"):
        turns(np.array([value]))


@given(st.integers(0, 2**64 - 1), POSITIONS)
def test_phase_is_the_product_modulo_one_turn(fraction, position):
    result = phase(np.array([fraction], np.uint64), np.array([position]))
    assert int(result[0]) == fraction * position % 2**64


@pytest.mark.parametrize("position", [1, 4095, 131_071, 9_999_999, 2**31 + 1, -7])
@pytest.mark.parametrize("inv_freq", [1.0, 0.123456789, 3.07e-5])
def test_phase_against_the_true_angle(inv_freq, position):
    """Rounding inv_freq to turns costs half a unit of 2⁻⁶⁴ turns per position, and nothing else."""
    result = int(phase(turns(np.array([inv_freq])), np.array([position]))[0])
    with mpmath.workprec(300):
        true = mpmath.mpf(inv_freq) * position * 2**64 / (2 * mpmath.pi)
        error = abs((result - true + 2**63) % 2**64 - 2**63)
        assert error <= mpmath.mpf(abs(position)) / 2


def test_int32_and_int64_positions_give_the_same_phase():
    fractions = turns(np.array([1.0, 0.01]))
    positions = np.array([[-3], [0], [2**31 - 1]])
    assert (phase(fractions, positions.astype(np.int32)) == phase(fractions, positions)).all()
