"""The MLX module: no parameters, compiled, differentiated, batched; beside MLX's own rotation."""

import numpy as np
import pytest
from hypothesis import assume, given

import tolerances
from draws import cases, rope
from tightrope import MRope, RopeConfigError, frequencies
from tightrope.verify.parity.differences import EPS
from tolerances import apart, pair_norms

mx = pytest.importorskip("mlx.core")
pytestmark = [
    pytest.mark.parametrize("backend", [pytest.param("mlx", marks=pytest.mark.backend("mlx"))], indirect=True)
]

LONGROPE = {
    "rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0, 3.0, 5.0, 8.0], "factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0}


def q(*shape):
    return mx.random.normal(shape or (2, 3, 4, 8), key=mx.random.key(0))


def close(config, got, expected, x):
    norms = pair_norms(np.array(x), config)
    return apart(np.array(got), np.array(expected), norms) <= tolerances.two_rotations()


@pytest.mark.parametrize("config", [rope(), rope().replace(scaling=LONGROPE), rope(mrope=MRope(sections=(2, 1, 1)))])
def test_nothing_is_a_parameter(backend, config):
    rotary = backend.RotaryEmbedding(config)
    rotary(q(), offset=13)
    assert not rotary.parameters()
    assert not rotary.trainable_parameters()
    rotary.load_weights([], strict=True)
    rotary.set_dtype(mx.bfloat16)
    assert np.array_equal(np.array(rotary(q(), offset=13)), np.array(backend.RotaryEmbedding(config)(q(), offset=13)))


@given(cases(far=1000))
def test_it_turns_as_mx_fast_rope_does_with_the_same_frequencies(backend, case):
    """At positions where float32 angles are good: MLX's own rotation takes 1 / inv_freq, never a base."""
    assume(case.rope.layout != "halves")  # which it does not have
    config = case.rope.replace(side="head")
    offset = mx.array(case.positions[:, 0])
    x = mx.array(case.q)
    inv_freq = frequencies(config, precision="float32").inv_freq
    theirs = mx.fast.rope(
        x, config.rotary_dim, traditional=config.layout == "interleaved", base=None, scale=1.0, offset=offset,
        freqs=mx.array(1 / inv_freq),
    )  # fmt: skip
    ours = backend.RotaryEmbedding(config, precision="float32")(x, offset=offset)
    largest = float(np.abs(inv_freq).max()) * (np.abs(case.positions[:, 0]).max() + case.q.shape[2])
    norms = pair_norms(case.q, config)
    assert apart(np.array(ours), np.array(theirs), norms) <= tolerances.fast_rope(largest) / EPS["float32"]


@pytest.mark.parametrize("name", ["static", "longrope", "mrope"])
def test_compiled_it_gives_the_same_for_every_offset(backend, name):
    config = {
        "static": rope(),
        "longrope": rope().replace(scaling=LONGROPE),
        "mrope": rope(mrope=MRope(sections=(2, 1, 1))),
    }[name]
    rotary = backend.RotaryEmbedding(config)
    compiled = mx.compile(lambda x, offset: rotary(x, offset=offset))
    for offset in ([0, 5], [12, 13], [-4, 100]):
        expected = rotary(q(), offset=mx.array(offset))
        assert close(config, compiled(q(), mx.array(offset)), expected, q())


def test_first_used_in_a_compiled_function_it_still_works_outside(backend):
    rotary = backend.RotaryEmbedding(rope().replace(scaling=LONGROPE))
    compiled = mx.compile(lambda x, offset: rotary(x, offset=offset))
    mx.eval(compiled(q(), mx.array([1, 14])))
    fresh = backend.RotaryEmbedding(rotary.model)
    assert close(rope(), rotary(q(), offset=mx.array([1, 14])), fresh(q(), offset=mx.array([1, 14])), q())


def test_a_compiled_function_cannot_read_lengths_and_says_so(backend):
    rotary = backend.RotaryEmbedding(rope().replace(scaling=DYNAMIC))
    compiled = mx.compile(lambda x, offset: rotary(x, offset=offset))
    with pytest.raises(RopeConfigError, match="give seq_len, or compute angles outside"):
        compiled(q(), mx.array(3))
    rotated = mx.compile(lambda x, offset: rotary(x, offset=offset, seq_len=5000))(q(), mx.array(4990))
    assert close(rope(), rotated, rotary(q(), offset=4990, seq_len=5000), q())


def test_compiled_gradients_are_the_same(backend):
    rotary = backend.RotaryEmbedding(rope())

    def loss(x, y, offset):
        rotated_x, rotated_y = rotary(x, y, offset=offset)
        return (rotated_x**2).sum() + mx.sin(rotated_y).sum()

    gradient = mx.grad(loss, argnums=(0, 1))
    x, y, offset = q(), q(2, 1, 4, 8), mx.array([3, -2])
    for got, expected in zip(mx.compile(gradient)(x, y, offset), gradient(x, y, offset), strict=True):
        assert mx.allclose(got, expected, rtol=0, atol=16 * EPS["float32"] * float(mx.abs(x).max()))


def test_vmap_over_q_and_over_offsets(backend):
    config = rope().replace(scaling=LONGROPE)
    rotary = backend.RotaryEmbedding(config)
    x, offset = q(3, 2, 1, 4, 8), mx.array([[1, 2], [20, 3], [-4, 30]])
    expected = mx.stack([rotary(one, offset=by) for one, by in zip(x, offset, strict=True)])
    assert close(config, mx.vmap(lambda one, by: rotary(one, offset=by))(x, offset), expected, x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("layout", ["half", "interleaved", "halves"])
def test_jvp_is_the_rotation_of_the_tangent(backend, layout, dtype):
    rotary = backend.RotaryEmbedding(rope(layout=layout))
    x, tangent = q().astype(getattr(mx, dtype)), mx.cos(q()).astype(getattr(mx, dtype))
    for _ in range(3):  # the third call is replayed
        _, (got,) = mx.jvp(lambda x: rotary(x, offset=7), [x], [tangent])
        assert mx.array_equal(got, rotary(tangent, offset=7))


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_derivatives_of_derivatives_mix_both_modes(backend, layout):
    """Of Σ w (R x)²: the gradient g(x) = 2 Rᵀ w R x is linear, so its derivative along t is g(t)."""
    rotary = backend.RotaryEmbedding(rope(layout=layout))
    x, tangent, weights = q(), mx.cos(q()), mx.sin(3 * q())
    gradient = mx.grad(lambda x: (weights * rotary(x, offset=7) ** 2).sum())
    _, (forward,) = mx.jvp(gradient, [x], [tangent])
    assert mx.allclose(forward, gradient(tangent), rtol=0, atol=32 * EPS["float32"])
    along = lambda x: weights * rotary(x, offset=7) * mx.jvp(lambda y: rotary(y, offset=7), [x], [tangent])[1][0]  # noqa: E731
    # Σ w (R x)(R t) is half of ⟨g(t), x⟩.
    assert mx.allclose(mx.grad(lambda x: along(x).sum())(x), gradient(tangent) / 2, rtol=0, atol=32 * EPS["float32"])


def test_jvp_follows_given_cos_and_sin_of_interleaved_pairs(backend):
    """y1 = x1 · cos − x2 · sin, y2 = x1 · sin + x2 · cos are linear in (cos, sin)."""
    cos, sin = mx.cos(q(1, 4, 4)), mx.sin(q(1, 4, 4))
    turned = lambda cos, sin: backend.rotate(q(), cos=cos, sin=sin, layout="interleaved")  # noqa: E731
    _, (got,) = mx.jvp(turned, [cos, sin], [3 * sin, 2 * cos])
    assert mx.allclose(got, turned(3 * sin, 2 * cos), rtol=0, atol=32 * EPS["float32"])


def test_float64_stays_float64(backend):
    with mx.stream(mx.cpu):
        rotated = backend.RotaryEmbedding(rope())(q().astype(mx.float64), offset=3)
        assert rotated.dtype == mx.float64


@pytest.mark.parametrize("dtype", ["uint32", "uint64", "int16", "uint8"])
def test_positions_of_any_integer_dtype_turn_alike(backend, dtype):
    rotary = backend.RotaryEmbedding(rope())
    expected = rotary(q(), positions=mx.arange(4))
    got = rotary(q(), positions=mx.arange(4).astype(getattr(mx, dtype)))
    assert mx.array_equal(got, expected)
