"""cos and sin of every backend: exact at any position, transformers' arithmetic on demand, every form of positions."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tolerances
from draws import EVERY_PATH, LONGROPE, rope
from tightrope import MRope, RopeConfig, frequencies
from tightrope.rope import reference
from tightrope.verify.parity.differences import EPS

pytestmark = EVERY_PATH

POSITIONS = [0, 1, -1, 4095, 131_071, 1_048_575, 9_999_999, -9_999_999, 2**31 - 1, 2**31 + 5, -(2**33)]
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}


def angles(backend, config, positions, precision="exact", **arguments):
    device = backend.devices()[0]
    given = {
        name: backend.asarray(value, "int64", device) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }
    module = backend.RotaryEmbedding(config, precision=precision)
    parts = module.cos_sin(backend.asarray(np.array(positions), "int64", device), **given)
    return [backend.to_numpy(part) for part in parts]


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("base", [10000.0, 5e5])
def test_angles_are_true_at_every_position(backend, base, position):
    config = RopeConfig(head_dim=128, rotary_dim=128, base=base, layout="half")
    got = angles(backend, config, [[position]])
    with mpmath.workprec(200):
        true = [mpmath.mpf(float(value)) * position for value in frequencies(config).inv_freq]
        for part, function in zip(got, (mpmath.cos, mpmath.sin), strict=True):
            errors = [abs(mpmath.mpf(float(g)) - function(a)) for g, a in zip(part[0, 0], true, strict=True)]
            assert max(errors) <= tolerances.ANGLE


@given(st.lists(st.integers(-(10**7), 10**7), min_size=300, max_size=300))
def test_angles_are_true_anywhere(backend, positions):
    config = RopeConfig(head_dim=64, rotary_dim=64, base=10000.0, layout="half")
    for got, expected in zip(angles(backend, config, [positions]), reference.cos_sin(config, [positions]), strict=True):
        assert np.abs(got - expected).max() <= tolerances.ANGLE


@pytest.mark.parametrize("position", [0, 1, 4095, 131_071, 2**24 + 1])
def test_float32_precision_rounds_the_angle_as_transformers_does(backend, position):
    config = RopeConfig(head_dim=128, rotary_dim=128, base=5e5, layout="half")
    got = angles(backend, config, [[position]], precision="float32")
    angle = (np.float32(position) * frequencies(config, precision="float32").inv_freq).astype(np.float64)
    for part, expected in zip(got, (np.cos(angle), np.sin(angle)), strict=True):
        assert np.abs(part - expected).max() <= EPS["float32"]


@pytest.mark.parametrize("precision", ["exact", "float32"])
@pytest.mark.parametrize("scaling", [YARN, LONGROPE], ids=["yarn", "longrope"])
def test_attention_factor_is_in_cos_and_sin(backend, precision, scaling):
    config = rope().replace(scaling=scaling)
    positions = [[0, 1, 2, 30]]
    expected = reference.cos_sin(config, positions, precision=precision)
    factor = frequencies(config, 31).attention_factor
    assert factor > 1
    allowed = tolerances.from_exact("angles", precision=precision, scaled=True) * EPS["float32"] * factor
    for part, true in zip(angles(backend, config, positions, precision), expected, strict=True):
        assert np.abs(part - true).max() <= allowed


@pytest.mark.parametrize("direction", [1, -1])
def test_direction_flips_sin_alone(backend, direction):
    cos, sin = angles(backend, rope(direction=direction), [[3, 1000]])
    cos1, sin1 = angles(backend, rope(), [[3, 1000]])
    # The 32 bits that are kept of a phase are its floor, which differs for the opposite phase.
    assert np.abs(cos - cos1).max() <= 2 * tolerances.ANGLE
    assert np.abs(sin - direction * sin1).max() <= 2 * tolerances.ANGLE


@pytest.mark.parametrize("order", ["chunked", "interleaved"])
@pytest.mark.parametrize("precision", ["exact", "float32"])
def test_each_pair_follows_its_axis(backend, order, precision):
    config = rope(head_dim=16, rotary_dim=16, mrope=MRope(sections=(4, 2, 2), order=order))
    positions = np.arange(3 * 2 * 5).reshape(3, 2, 5) * 97
    for got, expected in zip(
        angles(backend, config, positions, precision),
        reference.cos_sin(config, positions, precision=precision),
        strict=True,
    ):
        assert got.shape == (2, 5, 8)
        assert np.abs(got - expected).max() <= EPS["float32"]


@pytest.mark.parametrize("shape", [(5,), (1, 5), (2, 5), (1, 2, 5), (3, 2, 5), (3, 1, 5)])
def test_equal_positions_on_all_axes_are_text(backend, shape):
    config = rope(mrope=MRope(sections=(2, 1, 1)))
    got = angles(backend, config, np.broadcast_to(np.arange(5), shape))
    expected = angles(backend, rope(), np.arange(5))
    for part, text in zip(got, expected, strict=True):
        assert part.shape == ((*shape, 1)[-3:-1] if len(shape) > 1 else (1, 5)) + (4,)
        assert (part == text).all()


OFFSETS = [7, np.array(7), np.array([7]), np.array([7, 7])]


@pytest.mark.parametrize("offset", OFFSETS, ids=["int", "0-d", "(1,)", "(batch,)"])
def test_every_form_of_offset_means_the_same(backend, offset):
    q = np.random.default_rng(0).standard_normal((2, 1, 3, 8)).astype(np.float32)
    assert np.array_equal(rotated(backend, q, offset=offset), rotated(backend, q, positions=np.arange(7, 10)))


def test_offsets_may_differ_by_row_and_be_negative(backend):
    q = np.random.default_rng(0).standard_normal((2, 1, 3, 8)).astype(np.float32)
    positions = np.array([[-2, -1, 0], [5, 6, 7]])
    assert np.array_equal(rotated(backend, q, offset=np.array([-2, 5])), rotated(backend, q, positions=positions))


def test_without_positions_they_start_at_zero(backend):
    q = np.random.default_rng(0).standard_normal((2, 1, 3, 8)).astype(np.float32)
    assert np.array_equal(rotated(backend, q), rotated(backend, q, positions=np.arange(3)))


def rotated(backend, q, **arguments):
    device = backend.devices()[0]
    arguments = {
        name: backend.asarray(value, "int64", device) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }
    return backend.to_numpy(backend.RotaryEmbedding(rope())(backend.asarray(q, "float32", device), **arguments))


def test_angles_computed_once_serve_every_layer(backend):
    device = backend.devices()[0]
    q = backend.asarray(np.random.default_rng(0).standard_normal((2, 1, 3, 8)), "float32", device)
    module = backend.RotaryEmbedding(rope())
    direct = backend.to_numpy(module(q, offset=40))
    for given_angles in (
        module.angles(offset=40, length=3),
        module.cos_sin(backend.asarray(np.arange(40, 43), "int64", device)),
    ):
        assert np.abs(backend.to_numpy(module(q, angles=given_angles)) - direct).max() <= 8 * EPS["float32"]


def test_cis_is_cos_plus_i_sin(backend):
    positions = backend.asarray(np.array([[1, 2, 3]]), "int64", backend.devices()[0])
    module = backend.RotaryEmbedding(rope())
    cis = backend.to_numpy(module.cis(positions))
    assert cis.dtype == np.complex64
    cos, sin = (backend.to_numpy(part) for part in module.cos_sin(positions))
    assert np.array_equal(cis.real, cos)
    assert np.array_equal(cis.imag, sin)
