"""What a golden file records: every kind of quantity, drawn alike on every machine, for any configuration."""

import numpy as np
import pytest

import tightrope
from samples.golden_files import model
from tightrope.rope import reference
from tightrope.verify import golden
from tightrope.verify.golden import file, plan
from tightrope.verify.golden import random_bits as draws

pytest.importorskip("safetensors.numpy")


def test_a_file_tells_where_it_comes_from(golden_path, golden_subject):
    story, _ = file.load(golden_path)
    assert (story.source, story.backend, story.tightrope) == ("a model", golden_subject.name, tightrope.__version__)
    assert tightrope.read(story.configuration).ropes == model().ropes


def test_every_kind_of_quantity_is_recorded(golden_path, golden_subject):
    kinds = {(one.kind, one.numbers) for one in golden.check(golden_path, [golden_subject]).findings}
    rotations = {(kind, dtype) for kind in ("rotation", "gradient") for dtype in ("float32", "bfloat16", "float16")}
    others = {("frequencies", "exact"), ("angles", "exact"), ("trajectory", "row"), ("trajectory", "transformers")}
    assert kinds == rotations | others


def test_rotation_in_the_file_is_the_definition(golden_path):
    """The bits come from the definition in numpy, not from the backend that wrote the file."""
    _, arrays = file.load(golden_path)
    rope = model().rope()
    call = next(one for one in plan._rotation_calls(rope, plan.context_lengths(rope)) if one.name == "rows")
    cos, sin = (part[:, None] for part in reference.cos_sin_bits(rope, call.positions))
    q = draws.floats("rows q", (2, 2, 4, 8), "float32")
    expected = reference.rotate_bits(q, cos, sin, layout=rope.layout, side=rope.side)
    found = arrays["default/rotation/float32/rows/q"]
    # Half an ulp: paths of framework operations may round once more.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2.0**-23)


def test_numbers_are_drawn_as_splitmix64_defines_them():
    """The first outputs for seed 0 as published with the algorithm (Vigna, splitmix64.c, seed 0)."""
    z = (np.arange(1, 4, dtype=np.uint64) * draws._GAMMA).tolist()
    mask = 2**64 - 1
    for index, value in enumerate(z):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            value = ((value ^ (value >> shift)) * factor) & mask
        z[index] = value ^ (value >> 31)
    assert z[0] == 0xE220A8397B1DCDAF
    # crc32 of the empty name is 0: the same seed.
    assert draws.bits("", 3).tolist() == z


def test_drawn_floats_fill_the_unit_interval_and_are_values_of_their_dtype():
    drawn = draws.floats("any", (1000,), "bfloat16")
    assert (np.abs(drawn) <= 1).all()
    assert drawn.min() < -0.9 < 0.9 < drawn.max()
    np.testing.assert_array_equal(drawn, reference.round_to(drawn, "bfloat16"))


def test_a_model_without_rope_is_not_recorded(golden_subject, tmp_path):
    with pytest.raises(tightrope.RopeConfigError, match="has no rotary positions"):
        golden.write(tmp_path / "a.safetensors", tightrope.ModelRope(ropes={}, layers=[None]), golden_subject)


def test_every_real_configuration_can_be_recorded(shared_config, golden_subject, tmp_path):
    try:
        found = tightrope.read(shared_config)
    except tightrope.RopeConfigError as error:
        pytest.skip(f"cannot be read: {error}")
    if not found.ropes:
        pytest.skip("has no rope")
    golden.write(tmp_path / "a.safetensors", found, golden_subject)
    story, _ = file.load(tmp_path / "a.safetensors")
    assert tightrope.read(story.configuration).ropes == found.ropes
