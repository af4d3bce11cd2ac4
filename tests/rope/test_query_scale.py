"""The attention temperature: its formula, and what cannot be right."""

import math

import numpy as np
import pytest

import tightrope
from tightrope.rope.config.query_scale import QueryScale

BEAM = {"model_type": "beam", "head_dim": 128, "num_hidden_layers": 8}
LLAMA = {"model_type": "llama", "head_dim": 128, "num_hidden_layers": 8}


def test_power():
    # modeling_beam.py: exp(0.1 · log1p((position + 1) / 2048))
    positions = np.array([0, 2047, 100_000])
    expected = np.exp(0.1 * np.log1p((positions + 1) / 2048))
    np.testing.assert_allclose(tightrope.read(BEAM).query_scale(positions, None), expected, rtol=1e-14)


def test_padding_before_the_first_token_counts_as_the_first():
    scale = QueryScale(beta=0.1, length=4)
    np.testing.assert_array_equal(scale([-9, -1, 0]), 1.0)


def test_it_is_one_where_the_family_has_none():
    np.testing.assert_array_equal(tightrope.read(LLAMA).query_scale(np.zeros((2, 3), int)), np.ones((2, 3)))


@pytest.mark.parametrize("wrong", [{"length": 0}, {"length": 1.5}, {"beta": math.nan}, {"form": "linear"}])
def test_what_cannot_be_right_is_refused(wrong):
    with pytest.raises(tightrope.RopeConfigError, match=next(iter(wrong))):
        QueryScale(**{"beta": 0.1, "length": 4, **wrong})
