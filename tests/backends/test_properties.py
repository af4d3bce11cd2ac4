"""What a rotary embedding is, as properties that every backend must have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tolerances
from draws import EVERY_PATH, FAR, cases, numbers, rope
from tightrope.rope import reference
from tolerances import apart, pair_norms

pytestmark = EVERY_PATH

DTYPES = ["float32", "bfloat16", "float16"]


def rotated(backend, config, q, dtype="float32", **arguments):
    """Return numpy q rotated by a new module, in float32; numpy arguments become arrays of the backend."""
    device = backend.devices()[0]
    given = {
        name: backend.asarray(value, "int64", device) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }
    return backend.to_numpy(backend.RotaryEmbedding(config)(backend.asarray(q, dtype, device), **given))


def exact(config, q, positions):
    cos, sin = reference.cos_sin(config, positions)
    return reference.rotate(q, cos[:, None], sin[:, None], layout=config.layout, side=config.side)


@given(cases())
@pytest.mark.parametrize("dtype", DTYPES)
def test_rotation_is_exact_but_for_rounding(backend, dtype, case):
    q = reference.round_to(case.q, dtype)
    got = rotated(backend, case.rope, q, dtype, positions=case.positions)
    expected = exact(case.rope, q, case.positions)
    assert apart(got, expected, pair_norms(q, case.rope), dtype) <= tolerances.rotation(dtype)


@given(cases())
def test_norm_of_every_pair_is_kept(backend, case):
    got = rotated(backend, case.rope, case.q, positions=case.positions)
    before, after = pair_norms(case.q, case.rope), pair_norms(got, case.rope)
    assert apart(after, before, before) <= tolerances.rotation()


@given(cases())
@pytest.mark.parametrize("dtype", DTYPES)
def test_position_zero_is_the_identity(backend, dtype, case):
    q = reference.round_to(case.q, dtype)
    assert np.array_equal(rotated(backend, case.rope, q, dtype, positions=0 * case.positions), q)


@given(cases(far=FAR // 2), st.integers(-FAR // 2, FAR // 2))
def test_rotations_compose(backend, case, further):
    twice = rotated(backend, case.rope, rotated(backend, case.rope, case.q, positions=case.positions), offset=further)
    seq = np.arange(case.positions.shape[1])
    once = rotated(backend, case.rope, case.q, positions=case.positions + further + seq)
    assert apart(twice, once, pair_norms(case.q, case.rope)) <= tolerances.composed()


@given(cases(far=FAR // 2), st.integers(-FAR // 2, FAR // 2), st.integers(-1000, 1000), st.data())
def test_scores_depend_on_relative_position_alone(backend, case, shift, distance, data):
    k = numbers(data.draw, case.q.shape)
    norms = (pair_norms(case.q, case.rope) * pair_norms(k, case.rope)).sum(-1) / 2

    def score(by):
        q_rotated = rotated(backend, case.rope, case.q, positions=case.positions + by)
        k_rotated = rotated(backend, case.rope, k, positions=case.positions + distance + by)
        return (q_rotated.astype(np.float64) * k_rotated).sum(-1)

    rest = np.abs(case.q * k).sum(-1) if case.rope.head_dim > case.rope.rotary_dim else 0
    assert apart(score(shift), score(0), norms + rest) <= tolerances.dot_product()


@given(cases(rows=2), st.integers(-FAR, FAR))
def test_prefill_equals_token_by_token(backend, case, offset):
    prefill = rotated(backend, case.rope, case.q, offset=offset)
    steps = [rotated(backend, case.rope, case.q[:, :, t : t + 1], offset=offset + t) for t in range(case.q.shape[2])]
    assert apart(np.concatenate(steps, 2), prefill, pair_norms(case.q, case.rope)) <= tolerances.two_rotations()


@given(cases())
def test_half_is_interleaved_with_its_channels_permuted(backend, case):
    half, interleaved = case.rope.replace(layout="half"), case.rope.replace(layout="interleaved")
    to_pairs = np.arange(case.q.shape[-1])
    for of_half, of_pairs in zip(channels(half, case.q), channels(interleaved, case.q), strict=True):
        to_pairs[of_pairs] = of_half
    expected = rotated(backend, half, case.q, positions=case.positions)[..., to_pairs]
    permuted = case.q[..., to_pairs]
    got = rotated(backend, interleaved, permuted, positions=case.positions)
    assert apart(got, expected, pair_norms(permuted, interleaved)) <= tolerances.two_rotations()


def channels(config, q):
    index = np.arange(q.shape[-1])
    return [index[part] for part in reference.pair_slices(q.shape[-1], config.pairs, config.layout, config.side)]


@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_that_do_not_turn_keep_their_bits(backend, dtype, side):
    config = rope(head_dim=13, rotary_dim=6, side=side)
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-40, 65504.0, -3.0], np.float32)
    q = np.random.default_rng(1).standard_normal((2, 2, 3, 13)).astype(np.float32)
    rest = slice(6, None) if side == "head" else slice(0, 7)
    q[..., rest] = odd
    got = rotated(backend, config, q, dtype, offset=7)[..., rest]
    expected = backend.to_numpy(backend.asarray(q, dtype, backend.devices()[0]))[..., rest]
    assert np.array_equal(got.view(np.uint32), expected.view(np.uint32))


@given(cases(rows=3), st.data())
def test_a_row_does_not_depend_on_its_batch_mates(backend, case, data):
    row = data.draw(st.integers(0, len(case.q) - 1))
    together = rotated(backend, case.rope, case.q, positions=case.positions)[row : row + 1]
    alone = rotated(backend, case.rope, case.q[row : row + 1], positions=case.positions[row : row + 1])
    assert np.array_equal(together, alone)


@given(cases())
def test_orders_of_axes_are_equivalent(backend, case):
    expected = rotated(backend, case.rope, case.q, positions=case.positions)
    bshd = rotated(backend, case.rope, case.q.swapaxes(1, 2), positions=case.positions, order="bshd")
    assert np.array_equal(bshd.swapaxes(1, 2), expected)
    packed = case.q.swapaxes(1, 2).reshape(-1, case.q.shape[1], case.q.shape[3])
    thd = rotated(backend, case.rope, packed, positions=case.positions.reshape(-1), order="thd")
    assert np.array_equal(thd.reshape(bshd.shape), bshd)


@given(cases())
def test_strides_do_not_matter(backend, case):
    device = backend.devices()[0]
    positions = backend.asarray(case.positions, "int64", device)
    module = backend.RotaryEmbedding(case.rope)
    dense = backend.asarray(case.q, "float32", device)
    wide = backend.asarray(np.repeat(np.repeat(case.q, 2, axis=-1), 3, axis=2).swapaxes(1, 2), "float32", device)
    strided = wide.swapaxes(1, 2)[:, :, ::3, ::2]
    assert np.array_equal(
        backend.to_numpy(module(strided, positions=positions)), backend.to_numpy(module(dense, positions=positions))
    )


@given(cases(far=2**31 - 1))
def test_int32_and_int64_positions_give_the_same_bits(backend, case):
    device = backend.devices()[0]
    module = backend.RotaryEmbedding(case.rope)
    wide, narrow = (module.cos_sin(backend.asarray(case.positions, dtype, device)) for dtype in ("int64", "int32"))
    for left, right in zip(wide, narrow, strict=True):
        assert np.array_equal(backend.to_numpy(left), backend.to_numpy(right))


@given(cases())
def test_q_and_k_may_have_other_heads_and_widths(backend, case):
    device = backend.devices()[0]
    more = 0 if case.rope.layout == "halves" else 1  # halves of a width that is known
    k = np.concatenate([case.q[:, :1], case.q[:, :1, :, :more]], -1)
    positions = backend.asarray(case.positions, "int64", device)
    q_rotated, k_rotated = backend.RotaryEmbedding(case.rope)(
        backend.asarray(case.q, "float32", device), backend.asarray(k, "float32", device), positions=positions
    )
    assert np.array_equal(backend.to_numpy(q_rotated), rotated(backend, case.rope, case.q, positions=case.positions))
    assert np.array_equal(backend.to_numpy(k_rotated), rotated(backend, case.rope, k, positions=case.positions))


def test_the_sign_is_that_of_roformer(backend):
    """One radian per position: (1, 0) at position 1 becomes (cos 1, sin 1)."""
    config = rope(head_dim=2, rotary_dim=2)
    got = rotated(backend, config, np.array([[[[1.0, 0.0]]]], np.float32), offset=1)[0, 0, 0]
    assert np.abs(got - [np.cos(1), np.sin(1)]).max() <= tolerances.ANGLE
