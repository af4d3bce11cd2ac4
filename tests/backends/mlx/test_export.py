"""Rotations written to a file by MLX, and read back: the bits of the operations, without Tightrope."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import tightrope
from draws import cases
from tightrope.rope.config.mrope import MRope
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.longrope import LongRope
from tightrope.rope.scaling.yarn import Yarn

mx = pytest.importorskip("mlx.core")
pytestmark = pytest.mark.backend("mlx")

ROPE = tightrope.RopeConfig(
    head_dim=32, rotary_dim=24, base=1e4, layout="half", scaling=Default(), max_position_embeddings=40
)
ROPES = {
    "half": ROPE,
    "interleaved": ROPE.replace(layout="interleaved"),
    "interleaved tail": ROPE.replace(layout="interleaved", side="tail"),
    "halves": ROPE.replace(layout="halves", rotary_dim=32),
    "attention factor": ROPE.replace(scaling=Yarn(factor=4.0, original_max_position_embeddings=64)),
    "three axes": ROPE.replace(mrope=MRope(sections=(4, 4, 4))),
    "two tables": ROPE.replace(scaling=LongRope(short_factor=(1.0,) * 12, long_factor=(2.0,) * 12,
                                                original_max_position_embeddings=20)),
}  # fmt: skip
# What places the tokens, and what is given of it to the exported function.
WHERE = {
    "an int": lambda rope: ({"offset": 3}, {}),
    "an offset": lambda rope: ({}, {"offset": mx.array(2**40)}),
    "an offset for each row": lambda rope: ({}, {"offset": mx.array([3, -2])}),
    "positions": lambda rope: ({}, {"positions": mx.array([4, 0, 31, 2**45, -7])}),
    "angles": lambda rope: ({"angles": evaluated(rope.angles(offset=3, length=5))}, {}),
}
# MLX with Metal gives no sign that it exports.
AS_MLX_EXPORTS = tightrope.load_backend("mlx").exporting if mx.metal.is_available() else nullcontext
SHAPES = {"bhsd": (2, 3, 5, 32), "bshd": (2, 5, 3, 32)}


def evaluated(angles):
    for table in angles.values():
        mx.eval(table.cos, table.sin)
    return angles


@pytest.fixture(autouse=True)
def operations():
    """The kernels of a GPU sum in another order: here the operations are compared with themselves."""
    with mx.stream(mx.cpu):
        before = mx.default_device()
        mx.set_default_device(mx.cpu)
        yield
        mx.set_default_device(before)


def made(config):
    from tightrope.backends.mlx import RotaryEmbedding

    return RotaryEmbedding(config)


def exported(path, function, *arrays, **named):
    """Return what the function does once written and read back."""
    with AS_MLX_EXPORTS():
        mx.export_function(str(path), function, *arrays, **named)
    return mx.import_function(str(path))


def drawn(*shape, dtype=None, seed=0):
    return mx.random.normal(shape, key=mx.random.key(seed)).astype(dtype or mx.float32)


def same(got, expected):
    expected = expected if isinstance(expected, (tuple, list)) else [expected]
    assert len(got) == len(expected)
    return all(a.dtype == b.dtype and mx.array_equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("where", WHERE.values(), ids=WHERE)
@pytest.mark.parametrize("config", ROPES.values(), ids=ROPES)
def test_a_rotation_comes_back_from_a_file_with_its_bits(tmp_path, config, where):
    rope = made(config)
    fixed, given = where(rope)
    for number, (order, dtype) in enumerate([("bhsd", mx.float32), ("bshd", mx.bfloat16), ("bhsd", mx.float16)]):
        if config is ROPES["two tables"] and given:
            fixed = {"seq_len": 2**46} | fixed  # an unknown position cannot choose a table
        function = lambda q, k, fixed=fixed, order=order, **named: rope(q, k, order=order, **fixed, **named)  # noqa: E731
        q, k = (drawn(*SHAPES[order], dtype=dtype, seed=seed) for seed in (1, 2))
        read = exported(tmp_path / f"{number}.mlxfn", function, q, k, **given)
        other = drawn(*SHAPES[order], dtype=dtype, seed=3)
        for x in (q, other):
            assert same(read(x, k, **given), function(x, k, **given))


@given(case=cases(far=1000), dtype=st.sampled_from(["float32", "bfloat16"]))
def test_positions_of_an_exported_rotation_stay_free(tmp_path_factory, case, dtype):
    rope, q = made(case.rope), mx.array(case.q).astype(getattr(mx, dtype))
    positions = mx.array(case.positions)
    path = tmp_path_factory.mktemp("exported") / "rotated.mlxfn"
    read = exported(path, lambda x, at: rope(x, positions=at), q, mx.zeros_like(positions))
    assert same(read(q, positions), rope(q, positions=positions))


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_a_rope_in_use_exports_and_serves_on(tmp_path, layout):
    rope, q = made(ROPE.replace(layout=layout)), drawn(2, 3, 5, 32)
    before = [np.array(rope(q, offset=3)) for _ in range(3)][-1]
    read = exported(tmp_path / "rotated.mlxfn", lambda x: rope(x, offset=3), q)
    assert same(read(q), mx.array(before))
    assert np.array_equal(np.array(rope(q, offset=3)), before)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_given_cos_and_sin_are_exported_too(tmp_path, layout):
    from tightrope.backends.mlx import rotate

    rope, q = made(ROPE.replace(layout=layout)), drawn(2, 3, 5, 32)
    cos, sin = rope.cos_sin(mx.arange(5))
    function = lambda x, cos, sin: rotate(x, cos=cos, sin=sin, layout=layout, transpose=True)  # noqa: E731
    assert same(exported(tmp_path / "back.mlxfn", function, q, cos, sin)(q, cos, sin), function(q, cos, sin))
    table = lambda at: rope.cos_sin(at)  # noqa: E731
    assert same(exported(tmp_path / "table.mlxfn", table, mx.arange(5))(mx.arange(5)), (cos, sin))


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_a_gradient_is_exported_as_well(tmp_path, layout):
    rope, q = made(ROPE.replace(layout=layout)), drawn(2, 3, 5, 32)
    gradient = mx.grad(lambda x: (rope(x, offset=3) ** 3).sum())
    (got,) = exported(tmp_path / "gradient.mlxfn", gradient, q)(q)
    np.testing.assert_allclose(np.array(got), np.array(gradient(q)), rtol=2**-20, atol=2**-20)


# MLX gives a constant to a file as it lies in memory; of these it would read past the end, or in another order.
VIEWS = {
    "a repeated row": lambda x: mx.broadcast_to(x[:1, :1], x.shape),
    "another order of axes": lambda x: mx.contiguous(x.swapaxes(1, 2)).swapaxes(1, 2),
    "a part": lambda x: mx.concatenate([x, x], axis=-1)[..., : x.shape[-1]],
}


@pytest.mark.parametrize("seq", [1, 5])
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_angles_that_lie_in_memory_as_views_are_exported_by_their_values(tmp_path, view, seq):
    from tightrope.backends.mlx import rotate

    cos, sin = (view(x) for x in made(ROPE).cos_sin(mx.arange(seq) + 3))
    mx.eval(cos, sin)
    for batch in (1, 2):
        q = drawn(batch, 3, seq, 32)
        function = lambda q: rotate(q, cos=cos, sin=sin, layout="half")  # noqa: E731
        assert same(exported(tmp_path / f"{batch}.mlxfn", function, q)(q), function(q))


def test_angles_that_nothing_given_decides_are_exported_for_the_caller_s_own_operations(tmp_path):
    rope, q = made(ROPE), drawn(2, 3, 5, 12)
    function = lambda x: x * rope.cos_sin(mx.arange(5) + 3)[0]  # noqa: E731
    assert same(exported(tmp_path / "cos.mlxfn", function, q)(q), function(q))


@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_rope_of_mlx_lm_exports_whether_its_angles_were_evaluated_or_not(tmp_path, layout, calls):
    pytest.importorskip("mlx_lm")
    from tightrope.backends.mlx.mlx_lm import MLXRope

    config = ROPE.replace(layout=layout)
    rope, x = MLXRope(config), drawn(2, 3, 1, 32)
    for _ in range(calls):
        rope(x, 3)
    assert same(exported(tmp_path / "rope.mlxfn", lambda x: rope(x, 3), x)(x), MLXRope(config)(x, 3))


def test_within_the_block_constants_are_rotated_by_plain_operations_too(tmp_path):
    from tightrope.backends.mlx import exporting

    rope, x, kept = made(ROPE), drawn(2, 3, 5, 32), drawn(2, 3, 5, 32, seed=2)
    expected = [rope(kept, offset=3) for _ in range(3)][-1]
    mx.eval(kept)
    with exporting():
        mx.export_function(str(tmp_path / "constant.mlxfn"), lambda x: x + rope(kept, offset=3), x)
    assert same(mx.import_function(str(tmp_path / "constant.mlxfn"))(x), x + expected)


@pytest.mark.skipif(mx.metal.is_available(), reason="MLX with Metal gives no sign of an export")
def test_only_an_export_is_taken_for_one(tmp_path):
    from tightrope.backends.mlx.export import is_traced, shows_export

    seen = []

    def function(x):
        seen.append((is_traced(x), is_traced(mx.ones(2)), shows_export(x), shows_export()))
        return (x * x).sum()

    x = drawn(2, 3)
    for transformed in (
        function,
        mx.grad(function),
        mx.compile(function),
        mx.vmap(function),
        mx.compile(mx.grad(function)),
    ):
        mx.eval(transformed(x))
    assert seen == [(False, False, False, False), *[(True, False, False, False)] * 4]
    seen.clear()
    for number, transformed in enumerate([function, mx.grad(function), mx.compile(function), mx.vmap(function)]):
        mx.export_function(str(tmp_path / f"{number}.mlxfn"), transformed, x)
    assert seen == [(True, False, True, True)] * 4


def test_the_switch_ends_with_its_block_also_after_an_error():
    from tightrope.backends.mlx.export import exporting, is_exporting

    with exporting():
        with pytest.raises(KeyError), exporting():
            raise KeyError
        assert is_exporting()
    assert not is_exporting()


def test_on_a_gpu_no_kernel_serves_an_export(monkeypatch):
    from tightrope.backends.mlx.export import exporting
    from tightrope.backends.mlx.kernels import launch as kernel

    monkeypatch.delenv("TIGHTROPE_GPU_KERNEL", raising=False)
    monkeypatch.setattr(mx, "default_device", lambda: SimpleNamespace(type=mx.gpu))
    assert kernel.serves(mx.zeros(1))
    with exporting():
        assert not kernel.serves(mx.zeros(1))


def test_the_switch_is_for_one_thread():
    from tightrope.backends.mlx.export import exporting, is_exporting

    with exporting(), ThreadPoolExecutor(1) as other:
        assert not other.submit(is_exporting).result()


LLAMA = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 64,
    "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 5e5,
    "max_position_embeddings": 256,
}  # fmt: skip
COHERE = LLAMA | {"model_type": "cohere", "layer_norm_eps": 1e-5, "logit_scale": 1.0}


WHOLE_MODEL = """
import importlib, json, sys
from contextlib import nullcontext

import mlx.core as mx
import tightrope
raw, length, path = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
library = importlib.import_module("mlx_lm.models." + raw["model_type"])
model = library.Model(library.ModelArgs.from_dict(raw))
tightrope.patch(model, raw)
tokens = mx.arange(length)[None]
expected = [model(tokens) for _ in range(2)][-1]  # in use before: its angles are remembered
mx.eval(expected)
with tightrope.load_backend("mlx").exporting() if mx.metal.is_available() else nullcontext():
    mx.export_function(path, model, tokens)
(got,) = mx.import_function(path)(tokens)
assert mx.array_equal(got, expected)
assert mx.array_equal(model(tokens), expected)
print("equal")
"""


@pytest.mark.parametrize("raw", [LLAMA, COHERE], ids=["half", "interleaved"])
@pytest.mark.parametrize("length", [1, 6])
def test_a_patched_model_exports(tmp_path, raw, length):
    """In a process of its own: MLX keeps what it traced, and a program exports once."""
    pytest.importorskip("mlx_lm")
    arguments = [json.dumps(raw), str(length), str(tmp_path / "model.mlxfn")]
    ran = subprocess.run([sys.executable, "-c", WHOLE_MODEL, *arguments], capture_output=True, text=True, timeout=300)
    assert ran.stdout == "equal\n", ran.stderr
