"""Gradients: the transposed rotation, to first and second order, on every path."""

import numpy as np
import pytest
from hypothesis import given

import tolerances
from draws import EVERY_PATH, cases
from tightrope.rope import reference
from tolerances import apart, pair_norms

pytestmark = EVERY_PATH

DTYPES = ["float32", "bfloat16", "float16"]


def back(config, x, positions):
    cos, sin = reference.cos_sin(config, positions)
    return reference.rotate(x, cos[:, None], sin[:, None], layout=config.layout, side=config.side, transpose=True)


class Bench:
    def __init__(self, backend, case, dtype="float32"):
        self.backend, self.device, self.dtype = backend, backend.devices()[0], dtype
        self.module = backend.RotaryEmbedding(case.rope)
        self.positions = backend.asarray(case.positions, "int64", self.device)

    def array(self, values):
        return self.backend.asarray(values, self.dtype, self.device)

    def vjp(self, function, inputs, cotangents):
        return self.backend.vjp(function, [self.array(x) for x in inputs], [self.array(g) for g in cotangents])

    def rotated(self, *xs):
        return self.module(*xs, positions=self.positions)


@given(cases())
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_is_the_transposed_rotation(backend, dtype, case):
    bench = Bench(backend, case, dtype)
    cotangent = reference.round_to(case.q[..., ::-1], dtype)
    (got,) = bench.vjp(bench.rotated, [case.q], [cotangent])
    expected = back(case.rope, cotangent, case.positions)
    assert apart(backend.to_numpy(got), expected, pair_norms(cotangent, case.rope), dtype) <= tolerances.gradient(dtype)


@given(cases())
def test_gradients_of_q_and_k_are_their_own(backend, case):
    bench = Bench(backend, case)
    k = case.q[:, :1] + 1
    q_gradient, k_gradient = bench.vjp(bench.rotated, [case.q, k], [case.q, 3 * k])
    for got, cotangent in ((q_gradient, case.q), (k_gradient, 3 * k)):
        expected = back(case.rope, cotangent, case.positions)
        assert apart(backend.to_numpy(got), expected, pair_norms(cotangent, case.rope)) <= tolerances.gradient()


@given(cases())
def test_second_order(backend, case):
    """The gradient of ½ |R x|² is Rᵀ R x; that of its scalar product with v is Rᵀ R v: v rotated forth and back."""
    bench = Bench(backend, case)
    v = bench.array(case.q[..., ::-1].copy())

    def first(x):
        rotated = bench.rotated(x)
        return differentiated(backend, bench.rotated, x, rotated)

    (got,) = bench.vjp(lambda x: (first(x) * v).sum(), [case.q], [np.ones((), np.float32)])
    value = backend.to_numpy(v)
    assert apart(backend.to_numpy(got), value, pair_norms(value, case.rope)) <= 2 * tolerances.gradient()


def differentiated(backend, function, x, cotangent):
    """Return the gradient of function at x in a form that can be differentiated again."""
    if backend.name == "torch":
        from torch.autograd import grad

        return grad(function(x), x, cotangent, create_graph=True)[0]
    return backend.vjp(function, [x], [cotangent])[0]


@pytest.mark.parametrize("which", ["cos", "sin"])
def test_given_angles_have_gradients_too(backend, which):
    """d/dc Σ y1 + y2 = x1 + x2 and d/ds Σ y1 + y2 = x1 − x2, summed over heads."""
    device = backend.devices()[0]
    q = np.random.default_rng(0).standard_normal((2, 3, 4, 8)).astype(np.float32)
    angles = np.random.default_rng(1).standard_normal((2, 2, 4, 4)).astype(np.float32)
    cos, sin = (backend.asarray(part, "float32", device) for part in angles)
    x = backend.asarray(q, "float32", device)

    def function(part):
        given = {"cos": cos, "sin": sin, which: part}
        return backend.rotate(x, layout="half", **given)

    (got,) = backend.vjp(
        function, [cos if which == "cos" else sin], [backend.asarray(np.ones_like(q), "float32", device)]
    )
    expected = (q[..., :4] + (1 if which == "cos" else -1) * q[..., 4:]).astype(np.float64).sum(1)
    assert apart(backend.to_numpy(got), expected, np.abs(q).sum(1)[..., :4] * 2) <= 3
