"""Frequencies start from correctly rounded powers and logarithms, whatever libm the machine has."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.rope.arithmetic import EXACT, FLOAT32, ln

BASES = [100.0, 10_000.0, 150_000.0, 500_000.0, 283461213.0, 1e12, 0.5, 2.0, 1e30]
DIMS = [2, 21, 64, 96, 128, 512]


def true_power(base, exponent):
    """Return base ** exponent rounded once to float64, from 300 bits."""
    with mpmath.workprec(300):
        return float(mpmath.power(mpmath.mpf(base), exponent))


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("dim", DIMS)
def test_exact_powers_are_correctly_rounded(base, dim):
    with mpmath.workprec(300):
        expected = [true_power(base, -mpmath.mpf(2 * i) / dim) for i in range((dim + 1) // 2)]
    assert EXACT.powers(base, dim, len(expected)).tolist() == expected


@given(st.floats(1e-6, 1e12), st.floats(0.01, 4.0))
def test_exact_power_is_correctly_rounded(base, exponent):
    assert EXACT.power(base, exponent) == true_power(base, mpmath.mpf(exponent))


@given(st.floats(1e-300, 1e300))
def test_ln_is_correctly_rounded(value):
    with mpmath.workprec(300):
        assert ln(value) == float(mpmath.log(mpmath.mpf(value)))


@pytest.mark.parametrize("base", [10_000.0, 500_000.0, 1e6])
def test_float32_powers_round_exponent_power_and_reciprocal(base):
    dim = 128
    exponents = [np.float32(2 * i) / np.float32(dim) for i in range(dim // 2)]
    powers = [np.float32(true_power(base, mpmath.mpf(float(exponent)))) for exponent in exponents]
    expected = [np.float32(1) / value for value in powers]
    assert FLOAT32.powers(base, dim, dim // 2).tolist() == expected


def test_float32_division_happens_before_the_reciprocal():
    # transformers: 1 / (factor · base ** e), which rounds differently from (1 / base ** e) / factor.
    divided = FLOAT32.divided_powers(10_000.0, 128, 64, 3.0)
    assert divided.dtype == np.float32
    assert (divided != FLOAT32.powers(10_000.0, 128, 64) / np.float32(3)).any()


def test_a_running_length_is_float32_only_in_float32():
    assert isinstance(FLOAT32.length(3), np.float32)
    assert FLOAT32.length(2**24 + 1) == 2**24
    assert EXACT.length(2**24 + 1) == 2**24 + 1
