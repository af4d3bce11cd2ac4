"""How MLX reaches a kernel, and that its derivatives, batching and compilation get past it.

There is no GPU here: launches are made of framework operations, which MLX can trace.
"""

from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import tightrope
from proofs.one_rope import CONFIG, HEADS, POSITIONS, K, Q, expected
from tightrope.rope.reference import cos_sin_bits, pair_slices


@pytest.fixture
def mlx_gpu(monkeypatch):
    """MLX, taken to be on a GPU, whose launches are made of framework operations, so that MLX can trace them."""
    mx = pytest.importorskip("mlx.core")
    from tightrope.backends.mlx import derivatives as fused
    from tightrope.backends.mlx import operations, ops
    from tightrope.backends.mlx.kernels import launch as kernel
    from tightrope.backends.shared import trig
    from tightrope.backends.shared.angles import Phase

    launches = []

    def angles(names, arrays):
        tensors = dict(zip(names, arrays, strict=True))
        table = trig.table(ops.MlxOps(), Phase(attention_factors=tensors.pop("gains"), **tensors))
        return [table.cos, table.sin]

    def launch_angles(names, arrays):
        launches.append("angles")
        return angles(names, arrays)

    def launch(call, arrays):
        launches.append("rotate")
        xs, given = arrays[: call.heads], arrays[call.heads :]
        return operations.launch(call, [*xs, *(given if call.angles[0] == "cos" else angles(call.angles, given))])

    fused._function.cache_clear()
    fused._angle_function.cache_clear()
    monkeypatch.setattr(kernel, "launch", launch)
    monkeypatch.setattr(kernel, "launch_angles", launch_angles)
    monkeypatch.setattr(kernel, "serves", lambda *xs: True)
    yield SimpleNamespace(mx=mx, rope=tightrope.load_backend("mlx").RotaryEmbedding(CONFIG), launches=launches)
    fused._function.cache_clear()
    fused._angle_function.cache_clear()


# Float32 operations against other float32 operations: y = x1 c - x2 s has two products and a sum, each rounded by at
# most half an ulp of |x1| + |x2|, on either side; a gradient of cos adds that up over the heads of q and k.
TOLERANCE = 2 * 3 * 2**-24 * 2 * max(np.abs(Q).max(), np.abs(K).max())
OF_ANGLES = TOLERANCE * (HEADS + 1)


@pytest.fixture
def mlx_arrays():
    mx = pytest.importorskip("mlx.core")
    cos, sin = cos_sin_bits(CONFIG, POSITIONS)
    weights = mx.array(np.cos(np.arange(Q.size)).reshape(Q.shape), mx.float32)
    names = {"q": Q, "k": K, "cos": cos, "sin": sin}
    arrays = {name: mx.array(values.astype(np.float32)) for name, values in names.items()}
    return SimpleNamespace(**arrays, positions=mx.array(POSITIONS), weights=weights)


def rotated_by(how, layout=CONFIG.layout, side=CONFIG.side, *, transpose=False):
    """Return q and k rotated by given angles, as a function of all four: by ours, or plainly."""
    from tightrope.backends.mlx import derivatives as fused
    from tightrope.backends.mlx.kernels import launch as kernel
    from tightrope.backends.shared.angles import Table

    if how == "ours":
        form = {"layout": layout, "side": side, "order": "bhsd", "transpose": transpose}
        return lambda q, k, cos, sin: fused.rotate(kernel.launch, q, k, Table(cos=cos, sin=sin), **form)

    def plainly(x, cos, sin):
        first, second = pair_slices(x.shape[-1], cos.shape[-1], layout, side)
        c, s = cos[:, None], (-sin if transpose else sin)[:, None]
        rotated = x * 1
        rotated[..., first] = x[..., first] * c - x[..., second] * s
        rotated[..., second] = x[..., first] * s + x[..., second] * c
        return rotated

    return lambda q, k, cos, sin: (plainly(q, cos, sin), plainly(k, cos, sin))


def weighted(function, weights):
    """Return a number that depends on all of q and k rotated."""
    return lambda *arrays: sum((x * weights[:, : x.shape[1]]).sum() for x in function(*arrays))


@pytest.mark.backend("mlx")
def test_mlx_rotates_q_and_k_in_one_launch(mlx_gpu, mlx_arrays):
    rotated = mlx_gpu.rope(mlx_arrays.q, mlx_arrays.k, positions=mlx_arrays.positions)
    assert mlx_gpu.launches == ["rotate"]
    for here, x in zip(rotated, (Q, K), strict=True):
        np.testing.assert_allclose(here, expected(x), rtol=0, atol=TOLERANCE + 1e-7 * np.abs(x).max())


@pytest.mark.backend("mlx")
@pytest.mark.parametrize("rows", [1, 3])
def test_mlx_refuses_a_k_that_has_more_or_fewer_rows_than_q(mlx_gpu, mlx_arrays, rows):
    k = mlx_gpu.mx.concatenate([mlx_arrays.k[:1]] * rows)
    with pytest.raises(tightrope.RopeConfigError, match=f"q and k must have one batch, got 2 and {rows}"):
        mlx_gpu.rope(mlx_arrays.q, k, positions=mlx_arrays.positions[:1])
    assert mlx_gpu.launches == []


@pytest.mark.backend("mlx")
def test_mlx_launches_nothing_for_arrays_without_elements(mlx_gpu, mlx_arrays):
    none = mlx_arrays.q[:, :, :0]
    assert mlx_gpu.rope(none, none, offset=0)[1].shape == none.shape
    assert mlx_gpu.launches == []


@pytest.mark.backend("mlx")
def test_mlx_takes_angles_of_one_step_for_every_layer(mlx_gpu, mlx_arrays):
    angles = mlx_gpu.rope.angles(mlx_arrays.positions)
    for _ in range(2):
        mlx_gpu.rope(mlx_arrays.q, angles=angles)
    assert mlx_gpu.launches == ["angles", "rotate", "rotate"]


@pytest.mark.backend("mlx")
def test_mlx_rotates_packed_tokens(mlx_gpu, mlx_arrays):
    packed = mlx_gpu.mx.array(Q.transpose(0, 2, 1, 3).reshape(-1, HEADS, 16), mlx_gpu.mx.float32)
    rotated = mlx_gpu.rope(packed, positions=mlx_arrays.positions.reshape(-1), order="thd")
    whole = mlx_gpu.rope(mlx_arrays.q, positions=mlx_arrays.positions)
    np.testing.assert_array_equal(rotated, np.array(whole).transpose(0, 2, 1, 3).reshape(-1, HEADS, 16))


@pytest.mark.backend("mlx")
@pytest.mark.parametrize(("argument", "tolerance"), [(0, TOLERANCE), (1, TOLERANCE), (2, OF_ANGLES), (3, OF_ANGLES)])
def test_mlx_differentiates_q_k_and_given_angles(mlx_gpu, mlx_arrays, argument, tolerance):
    mx, given = mlx_gpu.mx, [mlx_arrays.q, mlx_arrays.k, mlx_arrays.cos, mlx_arrays.sin]
    gradients = [mx.grad(weighted(rotated_by(how), mlx_arrays.weights), argument)(*given) for how in ("ours", "plain")]
    np.testing.assert_allclose(*gradients, rtol=0, atol=tolerance)


@pytest.mark.backend("mlx")
@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("transpose", [False, True])
def test_mlx_differentiates_every_form_of_a_rotation(mlx_gpu, mlx_arrays, layout, side, transpose):
    mx, given = mlx_gpu.mx, [mlx_arrays.q, mlx_arrays.k, mlx_arrays.cos, mlx_arrays.sin]
    ours, plain = (rotated_by(how, layout, side, transpose=transpose) for how in ("ours", "plain"))
    found = zip(*(mx.grad(weighted(function, mlx_arrays.weights), range(4))(*given) for function in (ours, plain)),
                strict=True)  # fmt: skip
    for (here, there), tolerance in zip(found, [TOLERANCE, TOLERANCE, OF_ANGLES, OF_ANGLES], strict=True):
        np.testing.assert_allclose(here, there, rtol=0, atol=tolerance)


@pytest.mark.backend("mlx")
@pytest.mark.parametrize("argument", range(4))
def test_mlx_follows_tangents_of_q_k_and_given_angles(mlx_gpu, mlx_arrays, argument):
    mx, given = mlx_gpu.mx, [mlx_arrays.q, mlx_arrays.k, mlx_arrays.cos, mlx_arrays.sin]
    tangent = mx.cos(mx.arange(given[argument].size).reshape(given[argument].shape))

    def moved(how):
        function = rotated_by(how)
        return mx.jvp(lambda x: function(*given[:argument], x, *given[argument + 1 :]), [given[argument]], [tangent])[1]

    for here, there in zip(moved("ours"), moved("plain"), strict=True):
        np.testing.assert_allclose(here, there, rtol=0, atol=TOLERANCE)


@pytest.mark.backend("mlx")
def test_mlx_differentiates_twice(mlx_gpu, mlx_arrays):
    mx, given = mlx_gpu.mx, (mlx_arrays.k, mlx_arrays.cos, mlx_arrays.sin)

    def squared(q, function):
        return sum((x * x * mlx_arrays.weights[:, : x.shape[1]]).sum() for x in function(q, *given))

    def twice(how):
        inner = mx.grad(lambda q: squared(q, rotated_by(how)))
        return mx.grad(lambda q: (inner(q) * mlx_arrays.weights).sum())(mlx_arrays.q)

    np.testing.assert_allclose(twice("ours"), twice("plain"), rtol=0, atol=4 * TOLERANCE)


@pytest.mark.backend("mlx")
@pytest.mark.parametrize("axis", [0, 2])
def test_mlx_maps_over_q(mlx_gpu, mlx_arrays, axis):
    mx, rope = mlx_gpu.mx, mlx_gpu.rope
    q = mx.stack([mlx_arrays.q, 2 * mlx_arrays.q], axis=axis)
    rotated = mx.vmap(lambda x: rope(x, positions=mlx_arrays.positions), in_axes=axis)(q)
    whole = rope(mlx_arrays.q, positions=mlx_arrays.positions)
    np.testing.assert_array_equal(rotated, mx.stack([whole, 2 * whole]))


@pytest.mark.backend("mlx")
def test_mlx_maps_over_positions(mlx_gpu, mlx_arrays):
    mx, rope = mlx_gpu.mx, mlx_gpu.rope
    positions = mx.stack([mlx_arrays.positions, mlx_arrays.positions + 7])
    rotated = mx.vmap(lambda at: rope(mlx_arrays.q, positions=at))(positions)
    np.testing.assert_array_equal(rotated, mx.stack([rope(mlx_arrays.q, positions=at) for at in positions]))


@pytest.mark.backend("mlx")
def test_mlx_compiles_a_gradient(mlx_gpu, mlx_arrays):
    mx, given = mlx_gpu.mx, (mlx_arrays.q, mlx_arrays.k, mlx_arrays.cos, mlx_arrays.sin)
    gradient = mx.grad(weighted(rotated_by("ours"), mlx_arrays.weights))
    np.testing.assert_allclose(mx.compile(gradient)(*given), gradient(*given), rtol=0, atol=TOLERANCE)


@pytest.mark.backend("mlx")
def test_mlx_launches_nothing_on_the_cpu(mlx_arrays):
    from tightrope.backends.mlx.kernels import launch as kernel

    mx = pytest.importorskip("mlx.core")
    with mx.stream(mx.cpu):
        assert not kernel.serves(mlx_arrays.q)


@pytest.mark.backend("mlx")
def test_mlx_prepares_a_launch_once_for_shapes_and_dtypes(monkeypatch, mlx_arrays):
    from tightrope.backends.mlx.kernels import launch as kernel

    mx, described, launched = pytest.importorskip("mlx.core"), [], []
    text, language = kernel.KernelText, ModuleType("stub")
    language.TYPES = kernel.metal.TYPES
    language.compiled = lambda *description: lambda **call: launched.append(call["grid"])
    monkeypatch.setattr(kernel, "language", lambda: language)
    monkeypatch.setattr(kernel, "KernelText", lambda **fields: described.append(fields) or text(**fields))
    call = kernel.Launch(
        heads=1, angles=("cos", "sin"), layout="half", side="head", transpose=False, seq_axis=2
    )  # fmt: skip
    q, cos, sin = mlx_arrays.q, mlx_arrays.cos, mlx_arrays.sin
    for x in (q, q, q * 2, q.astype(mx.bfloat16), q[:, :, :1], q[:, :, :1]):
        kernel.launch(call, [x, cos[:, : x.shape[2]], sin[:, : x.shape[2]]])
    assert [fields["dtype"] for fields in described] == ["float", "bfloat", "float"]
    pairs = cos.shape[-1]
    assert [grid[0] for grid in launched] == [
        x.shape[0] * x.shape[2] * pairs for x in (q, q, q, q, q[:, :, :1], q[:, :, :1])
    ]
