"""Towers at work on every backend: coordinates for positions, pairs within each half of the head."""

import numpy as np
import pytest

import tolerances
from draws import EVERY_PATH, rope
from tightrope import MRope, RopeConfigError
from tightrope.rope import reference
from tightrope.rope.positions import centre_positions, grid_positions
from tolerances import apart, pair_norms

pytestmark = EVERY_PATH

AXES = MRope(sections=(4, 4), progression="own")
COORDINATES = rope(head_dim=16, rotary_dim=16, base=100.0, mrope=AXES, fractional=True)
HALVES = rope(head_dim=16, rotary_dim=16, base=100.0, mrope=AXES, layout="halves")
GRID = grid_positions([[3, 5]]).astype(np.int64)


def drawn(seq, width=16):
    return np.random.default_rng(seq).standard_normal((1, 2, seq, width)).astype(np.float32)


def rotated(backend, config, q, positions, *, precision="exact", dtype="float32", **how):
    device = backend.devices()[0]
    kind = "float32" if positions.dtype.kind == "f" else "int64"
    x, at = backend.asarray(q, dtype, device), backend.asarray(positions, kind, device)
    return backend.to_numpy(backend.RotaryEmbedding(config, precision=precision)(x, positions=at, **how))


def defined(config, q, positions, precision="float32"):
    cos, sin = reference.cos_sin(config, positions, precision=precision)
    return reference.rotate(q, cos[:, None], sin[:, None], layout=config.layout)


class TestCoordinates:
    @pytest.mark.parametrize("precision", ["exact", "float32"])
    def test_they_turn_by_float32_angles_under_both_precisions(self, backend, precision):
        positions = centre_positions(3, 5)
        q = drawn(15)
        got = rotated(backend, COORDINATES, q, positions, precision=precision)
        expected = defined(COORDINATES, q, positions)
        assert apart(got, expected, pair_norms(q, COORDINATES)) <= tolerances.rotation(precision="float32")

    def test_whole_positions_of_such_a_rope_have_exact_phases(self, backend):
        plain = COORDINATES.replace(fractional=False)
        assert np.array_equal(rotated(backend, COORDINATES, drawn(15), GRID), rotated(backend, plain, drawn(15), GRID))

    def test_tokens_at_zero_keep_their_bits(self, backend):
        q = drawn(20)
        got = rotated(backend, COORDINATES, q, centre_positions(3, 5, before=5))
        assert np.array_equal(got[:, :, :5], q[:, :, :5])

    def test_numpy_coordinates_are_taken_as_well(self, backend):
        q, positions = drawn(15), centre_positions(3, 5)
        x = backend.asarray(q, "float32", backend.devices()[0])
        got = backend.to_numpy(backend.RotaryEmbedding(COORDINATES)(x, positions=positions))
        assert np.array_equal(got, rotated(backend, COORDINATES, q, positions))

    def test_a_rope_without_them_refuses_floats(self, backend):
        with pytest.raises(RopeConfigError, match="positions must be whole numbers"):
            rotated(backend, COORDINATES.replace(fractional=False), drawn(15), centre_positions(3, 5))

    def test_their_axes_are_counted(self, backend):
        with pytest.raises(RopeConfigError, match=r"or \(2, batch, seq\), got shape \(3, 1, 15\)"):
            rotated(backend, COORDINATES, drawn(15), np.zeros((3, 1, 15), np.float32))


class TestHalves:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
    def test_each_half_turns_by_its_axis(self, backend, dtype):
        q = reference.round_to(drawn(15), dtype)
        got = rotated(backend, HALVES, q, GRID, dtype=dtype)
        half = rope(head_dim=8, rotary_dim=8, base=100.0)
        parts = (defined(half, q[..., 8 * axis : 8 * axis + 8], GRID[axis], "exact") for axis in (0, 1))
        expected = np.concatenate([*parts], axis=-1)
        assert apart(got, expected, pair_norms(q, HALVES), dtype) <= tolerances.rotation(dtype)

    @pytest.mark.parametrize("order", ["bshd", "thd"])
    def test_heads_may_stand_in_any_order(self, backend, order):
        q = drawn(15)
        moved = q.transpose(0, 2, 1, 3) if order == "bshd" else q[0].transpose(1, 0, 2)
        got = rotated(backend, HALVES, moved, GRID, order=order)
        back = got.transpose(0, 2, 1, 3) if order == "bshd" else got.transpose(1, 0, 2)[None]
        assert np.array_equal(back, rotated(backend, HALVES, q, GRID))

    def test_they_turn_in_place_too(self, backend):
        if not hasattr(backend.RotaryEmbedding, "rotate_"):
            pytest.skip("this framework writes nothing in place")
        q = backend.asarray(drawn(15), "float32", backend.devices()[0])
        backend.RotaryEmbedding(HALVES).rotate_(q, positions=GRID)
        assert np.array_equal(backend.to_numpy(q), rotated(backend, HALVES, drawn(15), GRID))

    def test_the_gradient_is_the_rotation_back(self, backend):
        q, g = drawn(15), drawn(15)[:, ::-1].copy()
        device = backend.devices()[0]
        module, at = backend.RotaryEmbedding(HALVES), backend.asarray(GRID, "int64", device)
        (got,) = backend.vjp(
            lambda x: module(x, positions=at),
            [backend.asarray(q, "float32", device)],
            [backend.asarray(g, "float32", device)],
        )
        cos, sin = reference.cos_sin(HALVES, GRID)
        expected = reference.rotate(g, cos[:, None], sin[:, None], layout="halves", transpose=True)
        assert apart(backend.to_numpy(got), expected, pair_norms(g, HALVES)) <= tolerances.gradient()

    def test_a_head_of_another_width_is_refused(self, backend):
        with pytest.raises(RopeConfigError, match="q must have 16 channels in layout 'halves', got 20"):
            rotated(backend, HALVES, drawn(15, 20), GRID)
