"""How far two results lie apart, and how far they may: ulps of the pair's norm."""

import numpy as np
import pytest

from tightrope.rope import reference
from tightrope.verify.parity import tolerances
from tightrope.verify.parity.differences import EPS, Figure, compare, worst


def test_ulps_are_of_the_pairs_norm():
    left, right, norm = np.array([3.0, 1e-9]), np.array([3.0, 0.0]), np.array([5.0, 5.0])
    assert compare(left, right, norm, 2.0**-23).ulps == pytest.approx(1e-9 / (5 * 2.0**-23), rel=1e-12)


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ValueError, match="nothing to compare"):
        compare(np.zeros(0), np.zeros(0), np.zeros(0), 1.0)


def test_signed_zeros_are_not_identical():
    found = compare(np.array([0.0]), np.array([-0.0]), np.array([1.0]), 1.0)
    assert (found.ulps, found.identical) == (0.0, False)


def test_worst_keeps_the_largest_and_adds_up():
    assert worst([Figure(1.0, 9.0, True, 3), Figure(2.0, 1.0, False, 4)]) == Figure(2.0, 9.0, False, 7)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_eps_is_the_distance_to_the_next_number_above_one(dtype):
    assert reference.round_to(1 + EPS[dtype], dtype) - 1 == EPS[dtype]
    assert reference.round_to(1 + EPS[dtype] / 2, dtype) == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_results_may_be_off_by_little_more_than_their_own_rounding(dtype):
    assert 0.5 < tolerances.from_exact("rotation", dtype=dtype) < 0.501
