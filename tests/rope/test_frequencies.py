"""`frequencies`: one answer per whole configuration and length, in either precision."""

import numpy as np
import pytest

from tightrope import ModelRope, RopeConfig, RopeConfigError, frequencies

FIELDS = {"head_dim": 128, "rotary_dim": 64, "base": 10_000.0, "layout": "half", "max_position_embeddings": 4096}
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0}


def rope(**changes):
    return RopeConfig(**FIELDS).replace(**changes)


def test_frequencies_are_float64_and_cannot_be_changed():
    freqs = frequencies(rope())
    assert freqs.inv_freq.dtype == np.float64
    assert freqs.turns.dtype == np.uint64
    with pytest.raises(ValueError, match="read-only"):
        freqs.inv_freq[0] = 0


def test_float32_precision_gives_float32():
    assert frequencies(rope(), precision="float32").inv_freq.dtype == np.float32


@pytest.mark.parametrize(
    "change",
    [
        {"base": 10_001.0},
        {"rotary_dim": 32},
        {"frequency_dim": 63},
        {"direction": -1},
        {"scaling": {"rope_type": "linear", "factor": 2.0}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_field_that_matters_changes_the_result(change):
    before, after = frequencies(rope()), frequencies(rope(**change))
    assert not np.array_equal(before.inv_freq, after.inv_freq)


def test_the_other_direction_is_the_negative():
    assert (frequencies(rope(direction=-1)).inv_freq == -frequencies(rope()).inv_freq).all()


def test_equal_configurations_share_one_result():
    assert frequencies(rope()) is frequencies(rope(), 17)


def test_lengths_with_the_same_frequencies_share_one_result():
    assert frequencies(rope(scaling=DYNAMIC), 1) is frequencies(rope(scaling=DYNAMIC), 4096)
    assert frequencies(rope(scaling=DYNAMIC), 4096) is not frequencies(rope(scaling=DYNAMIC), 4097)


def test_a_whole_model_is_refused_with_the_way_to_its_rope():
    model = ModelRope(ropes={"default": rope()}, layers=("default",))
    with pytest.raises(RopeConfigError, match=r"config must be a RopeConfig, got ModelRope; give model\.rope\(\)"):
        frequencies(model)


def test_a_type_that_follows_the_length_needs_it():
    with pytest.raises(RopeConfigError, match="rope_type 'dynamic' follows the sequence: give seq_len"):
        frequencies(rope(scaling=DYNAMIC))


@pytest.mark.parametrize("seq_len", [-1, 1.5, True, "8"])
def test_a_length_that_cannot_be_right_is_refused(seq_len):
    with pytest.raises(RopeConfigError, match="seq_len must be a whole number"):
        frequencies(rope(scaling=DYNAMIC), seq_len)


def test_a_precision_that_does_not_exist_is_refused():
    with pytest.raises(RopeConfigError, match="precision must be one of 'exact', 'float32', got 'half'"):
        frequencies(rope(), precision="half")


def test_a_base_that_overflows_is_refused():
    tiny = rope(base=1e-300, scaling={"rope_type": "linear", "factor": 1.0}, frequency_dim=1)
    with pytest.raises(RopeConfigError, match="not finite"):
        frequencies(tiny)


def test_a_factor_beyond_float32_is_refused_without_numpy_s_warnings():
    huge = rope(scaling={"rope_type": "dynamic", "factor": 1e300})
    with pytest.raises(RopeConfigError, match="not finite"):
        frequencies(huge, 10_000, precision="float32")
