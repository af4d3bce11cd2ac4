"""What a call may be given: integers of every width and library, whole numbers and fractions of a float dtype."""

import gc

import numpy as np
import pytest

import tightrope
from samples.calls import ROPE, switching
from tightrope.rope.scaling.dynamic import Dynamic
from tightrope.rope.scaling.yarn import Yarn


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"])
@pytest.mark.parametrize("library", ["numpy", "framework"])
@pytest.mark.parametrize("how", ["offset", "positions"])
def test_integers_of_every_width_are_widened_before_a_length_is_taken(rotate, dtype, library, how):
    top = min(int(np.iinfo(dtype).max), 2**31 - 1)
    values = np.array([top], dtype) if how == "offset" else np.array([top - 2, top - 1, top], dtype)
    length = top + (3 if how == "offset" else 1)
    given = values if library == "numpy" else rotate.array(values, dtype)
    # One token fewer, and the other table holds.
    for original in (length - 1, length):
        config = switching(original)
        expected = rotate(config, positions=rotate.array(np.arange(length - 3, length)), seq_len=length)
        assert np.array_equal(rotate(config, **{how: given}), expected)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint8"])
def test_lengths_of_narrow_dtypes_are_compared_as_they_are(rotate, dtype):
    config = switching(2**18)
    expected = rotate(config, seq_len=100)
    for given in (np.array([100], dtype), rotate.array([100], dtype), np.array(100, dtype)):
        assert np.array_equal(rotate(config, seq_len=given), expected)


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64, np.uint64])
def test_numbers_of_numpy_are_integers(rotate, kind):
    assert np.array_equal(rotate(ROPE, offset=kind(100)), rotate(ROPE, offset=100))
    config = switching(50)
    assert np.array_equal(rotate(config, seq_len=kind(100)), rotate(config, seq_len=100))
    assert np.array_equal(rotate(config, seq_len=[kind(100)]), rotate(config, seq_len=100))


@pytest.mark.parametrize(
    "value", [True, 1.5, np.bool_(True), np.float64(3), "3", pytest.param(10**5000, id="huge")], ids=repr
)
def test_a_length_is_a_whole_number(backend, value):
    rope = backend.RotaryEmbedding(switching(50))
    with pytest.raises(tightrope.RopeConfigError) as raised:
        rope.angles(offset=0, length=value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("value", [True, 1.5, np.bool_(True), [True], [1.5], np.array([1.5]), "3", [[3]]], ids=repr)
def test_a_seq_len_that_is_no_whole_number_is_refused(rotate, value):
    with pytest.raises(tightrope.RopeConfigError, match="seq_len must be whole numbers"):
        rotate(switching(50), seq_len=value)


@pytest.mark.parametrize(
    "value", [True, 1.5, np.bool_(True), np.float64(3), "3", [3], 2**63 - 3, -(2**63) - 1], ids=repr
)
def test_an_offset_that_is_no_integer_is_refused(rotate, value):
    with pytest.raises(tightrope.RopeConfigError, match="offset must"):
        rotate(ROPE, offset=value)


@pytest.mark.parametrize("offset", [2**53 + 1, 2**62 + 3, -(2**55) - 1, 2**63 - 4])
def test_large_offsets_are_exact(rotate, offset):
    positions = np.array([offset, offset + 1, offset + 2])
    assert np.array_equal(rotate(ROPE, offset=offset), rotate(ROPE, positions=rotate.array(positions)))


@pytest.mark.parametrize("factor", [1e39, 1e300, 1e-39, 1e-300])
def test_an_attention_factor_beyond_float32_is_refused(backend, factor):
    with pytest.raises(tightrope.RopeConfigError, match=r"attention_factor must be .* float32"):
        backend.RotaryEmbedding(ROPE.replace(scaling=Yarn(factor=4.0, attention_factor=factor)))


WHOLE = [[0.0, 1.0, 77.0], [3.0, 2.0**23 + 1, 2.0**30]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fractional", [False, True])
@pytest.mark.parametrize("library", ["numpy", "framework"])
def test_whole_numbers_of_a_float_dtype_are_exact_positions(rotate, dtype, fractional, library):
    if rotate.backend.name == "mlx" and dtype == "float64" and library == "framework":
        pytest.skip("float64 of MLX has the values of float32 here")
    config, q = ROPE.replace(fractional=fractional), rotate.q(2, 2, 3, 16)
    given = np.array(WHOLE, dtype) if library == "numpy" else rotate.array(WHOLE, dtype)
    expected = rotate(config, q, positions=rotate.array(WHOLE))
    assert np.array_equal(rotate(config, q, positions=given), expected)


OMNI = {
    "model_type": "qwen3_omni_moe_text", "num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 4,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [3, 3, 2]},
}  # fmt: skip


@pytest.mark.parametrize("library", ["numpy", "framework"])
def test_times_of_audio_and_video_take_float32_angles_beside_exact_places(rotate, library):
    """As the thinker of Qwen3-Omni gives them: fractions on the first axis, whole numbers on the others."""
    rope = tightrope.read(OMNI).rope()
    time, place = np.array([0.0, 7.24, 90_000.0, 123.5]), np.array([0.0, 3.0, 1_000_003.0, 5.0])
    positions = np.stack((time, place, place))[:, None].astype(np.float32)
    given = positions if library == "numpy" else rotate.array(positions, "float32")
    cos, sin = map(rotate.backend.to_numpy, rotate.backend.RotaryEmbedding(rope).cos_sin(given))
    by_pair = np.moveaxis(positions[list(rope.mrope.pair_axes(rope.pairs))], 0, -1).astype(np.float64)
    angle = by_pair * tightrope.frequencies(rope).inv_freq
    # Exact angles are within 1e-7; a float32 frequency and product are each half an ulp of the angle off, and an ulp.
    bound = np.where(by_pair % 1 == 0, 1e-7, 2.0**-22 * np.abs(angle) + 1e-7)
    assert np.all(np.abs(cos - np.cos(angle)) <= bound)
    assert np.all(np.abs(sin - np.sin(angle)) <= bound)


def test_a_rope_that_follows_the_length_takes_whole_numbers_alone(rotate):
    scaling = {"rope_type": "dynamic", "rope_theta": 1e6, "factor": 2.0, "mrope_section": [3, 3, 2]}
    rope = tightrope.read({**OMNI, "max_position_embeddings": 64, "rope_parameters": scaling}).rope()
    with pytest.raises(tightrope.RopeConfigError, match="positions must be whole numbers"):
        rotate.backend.RotaryEmbedding(rope).cos_sin(rotate.array(np.full((3, 1, 2), 0.5), "float32"))


def test_fractions_beside_whole_numbers_take_float32_angles_and_leave_those_exact(rotate):
    config = ROPE.replace(fractional=True)
    mixed = rotate(config, positions=rotate.array([0.5, 2.0**23 + 1, 7.25], "float32"))
    whole = rotate(config, positions=rotate.array([0, 2**23 + 1, 0]))
    assert np.array_equal(mixed[:, :, 1], whole[:, :, 1])
    x = rotate.backend.to_numpy(rotate.q()).astype(np.float64)
    angle = np.array([0.5, 7.25])[:, None] * tightrope.frequencies(ROPE).inv_freq
    x1, x2 = x[:, :, [0, 2], :8], x[:, :, [0, 2], 8:]
    exact = np.concatenate([x1 * np.cos(angle) - x2 * np.sin(angle), x1 * np.sin(angle) + x2 * np.cos(angle)], -1)
    # An angle below 8 has an error below 2⁻²¹; cos, sin and the products add a few 2⁻²⁴.
    np.testing.assert_allclose(mixed[:, :, [0, 2]], exact, rtol=0, atol=2**-20 * np.abs(x).max())


@pytest.mark.parametrize("values", [[0.5, 1.0, 2.0], [np.nan, 1.0, 2.0], [np.inf, 1.0, 2.0]], ids=str)
def test_fractions_are_refused_where_the_rope_has_none(rotate, values):
    into = r"positions\.long\(\)" if rotate.backend.name == "torch" else r"positions\.astype\(mx\.int64\)"
    with pytest.raises(tightrope.RopeConfigError, match=f"positions must be whole numbers.*{into}"):
        rotate(ROPE, positions=rotate.array(values, "float32"))
    with pytest.raises(tightrope.RopeConfigError, match=r"positions must be whole numbers.*positions\.astype\(int\)"):
        rotate(ROPE, positions=np.array(values))


def test_keys_of_the_order_of_megatron_move_as_others_do(rotate):
    rope, k = rotate.backend.RotaryEmbedding(ROPE), rotate.q(5, 2, 3, 16)
    other = tightrope.frequencies(ROPE.replace(base=500.0))
    how = rotate.array(np.arange(5)), tightrope.frequencies(ROPE), other
    expected = rotate.backend.to_numpy(rope.rerotate(rotate.q(5, 2, 3, 16).swapaxes(0, 1), *how, order="bshd"))
    found = rotate.backend.to_numpy(rope.rerotate(k, *how, order="sbhd"))
    assert np.array_equal(found, expected.swapaxes(0, 1))
    moved = rotate.backend.to_numpy(rope.shift(rotate.q(5, 2, 3, 16), 7, order="sbhd"))
    expected = rotate.backend.to_numpy(rope.shift(rotate.q(5, 2, 3, 16).swapaxes(0, 1), 7, order="bshd"))
    assert np.array_equal(moved, expected.swapaxes(0, 1))


def test_what_a_rope_was_known_by_goes_with_it(backend):
    from tightrope.backends.shared.tables import _NAMED

    gc.collect()
    before = len(_NAMED)
    for base in range(100):
        backend.RotaryEmbedding(ROPE.replace(base=1000.5 + base, scaling=Dynamic(factor=2.0)))
    gc.collect()
    assert len(_NAMED) <= before
