"""A patched model computes its angles once a step, and what it keeps for that serves nothing else."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from harness.frames import frames

pytest.importorskip("mlx_lm", exc_type=ImportError)

import mlx.core as mx

import tightrope
from tightrope.backends.mlx.kernels import launch as kernel
from tightrope.backends.mlx.mlx_lm import step
from tightrope.backends.mlx.mlx_lm.rope import MLXRope
from tightrope.backends.mlx.mlx_lm.step import StepAngles
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.dynamic import Dynamic
from tightrope.rope.scaling.longrope import LongRope

pytestmark = pytest.mark.backend("mlx")

ROPE = tightrope.RopeConfig(
    head_dim=16, rotary_dim=16, base=1e4, layout="half", scaling=Default(), max_position_embeddings=40
)
LONG = LongRope(short_factor=(1.0,) * 8, long_factor=(2.0,) * 8, original_max_position_embeddings=20)
ROPES = [ROPE, ROPE.replace(base=77.0), ROPE.replace(scaling=LONG), ROPE.replace(scaling=Dynamic(factor=2.0))]
LLAMA = {
    "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 3, "intermediate_size": 32, "rms_norm_eps": 1e-6,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 64, "rope_theta": 500.0,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
}  # fmt: skip


def drawn(*shape, dtype=None, seed=1):
    return mx.random.normal(shape, key=mx.random.key(seed)).astype(dtype or mx.float32)


def alone(config, x, offset):
    """What a rope gives that has never been called before."""
    return np.array(MLXRope(config)(x, offset).astype(mx.float32))


def llama():
    from mlx_lm.models import llama

    mx.random.seed(0)
    model = llama.Model(llama.ModelArgs.from_dict(LLAMA))
    tightrope.patch(model, LLAMA)
    return model


CALL = st.tuples(
    st.sampled_from(range(4)), st.integers(1, 3), st.integers(-3, 45), st.sampled_from(["int", "array", "rows"])
)


@given(st.lists(CALL, max_size=25))
def test_interleaved_models_rewinds_and_offsets_of_every_kind_give_what_each_gives_alone(calls):
    ropes = [MLXRope(config) for config in ROPES]
    for which, seq, offset, kind in calls:
        x = drawn(2, 2, seq, 16, dtype=mx.bfloat16 if offset % 2 else mx.float32, seed=seq)
        given_offset = {"int": offset, "array": mx.array(offset), "rows": mx.array([offset, max(offset, 0) + 3])}[kind]
        got = np.array(ropes[which](x, given_offset).astype(mx.float32))
        assert np.array_equal(got, alone(ROPES[which], x, given_offset))


def test_an_array_that_changes_in_place_is_another_offset():
    rope, x, offset = MLXRope(ROPE), drawn(2, 2, 1, 16), mx.array([3, 9])
    for _ in range(4):
        assert np.array_equal(np.array(rope(x, offset)), alone(ROPE, x, mx.array(offset.tolist())))
        offset += 5


def test_threads_keep_their_own_steps():
    rope, x = MLXRope(ROPE), drawn(1, 2, 1, 16)
    mx.eval(x)
    expected = {offset: alone(ROPE, x, offset) for offset in range(6)}

    def works(offset):
        return all(np.array_equal(np.array(rope(x, offset)), expected[offset]) for _ in range(30))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(works, range(6)))


@pytest.fixture
def computed(monkeypatch):
    """The steps whose angles were computed, in order."""
    steps, compute = [], StepAngles._computed

    def counted(self, x, offset):
        steps.append((offset, x.shape[2]))
        return compute(self, x, offset)

    monkeypatch.setattr(StepAngles, "_computed", counted)
    return steps


def test_all_layers_of_a_step_share_their_angles(computed):
    from mlx_lm.models.cache import make_prompt_cache

    model = llama()
    cache = make_prompt_cache(model)
    for tokens in ([[3, 4, 5]], [[6]], [[7]]):
        mx.eval(model(mx.array(tokens), cache=cache))
    assert computed == [(0, 3), (3, 1), (4, 1)]


def test_two_models_of_one_configuration_share_nothing(computed):
    first, second = llama(), llama()
    for model in (first, second, first):
        mx.eval(model.layers[0].self_attn.rope(drawn(1, 2, 1, 16), 5))
    assert computed == [(5, 1), (5, 1)]
    assert first.layers[0].self_attn.rope._step is first.layers[1].self_attn.rope._step
    assert first.layers[0].self_attn.rope._step is not second.layers[0].self_attn.rope._step


def test_another_device_is_another_step(computed, monkeypatch):
    rope, x = MLXRope(ROPE), drawn(1, 2, 1, 16)
    for device in ("one", "one", "four", "one"):
        monkeypatch.setattr(step.mx, "default_device", lambda device=device: mx.Device(mx.cpu, len(device) % 2))
        rope(x, 5)
    assert len(computed) == 3


def test_a_compiler_may_record_a_step_that_is_kept():
    rope, x = MLXRope(ROPE), drawn(1, 2, 1, 16)
    expected = {offset: alone(ROPE, x, offset) for offset in (3, 4)}
    recorded = {offset: mx.compile(lambda x, offset=offset: rope(x, offset) * 1.0) for offset in (3, 4)}
    # Kept before it is recorded, and recorded before it is kept.
    for offset, how in [
        (3, "eager"),
        (3, "graph"),
        (4, "graph"),
        (4, "eager"),
        (4, "graph"),
        (3, "eager"),
        (4, "eager"),
    ]:
        got = recorded[offset](x) if how == "graph" else rope(x, offset)
        np.testing.assert_allclose(np.array(got), expected[offset], rtol=0, atol=2**-22)
    gradient = mx.grad(lambda x: (rope(x, 3) ** 2).sum())(x)
    np.testing.assert_allclose(np.array(gradient), 2 * np.array(x), rtol=2**-20, atol=2**-20)


def test_a_copy_of_a_model_keeps_its_own_steps():
    rope, x = MLXRope(ROPE), drawn(1, 2, 1, 16)
    expected = np.array(rope(x, 7))
    for other in (copy.deepcopy(rope), pickle.loads(pickle.dumps(rope))):
        assert other._step is not rope._step
        assert np.array_equal(np.array(other(x, 7)), expected)


@pytest.fixture(params=["operations", "a stub for a kernel"])
def path(request, monkeypatch):
    if request.param == "operations":
        return
    monkeypatch.setattr(kernel, "serves", lambda *xs: True)
    monkeypatch.setattr(kernel, "launch", lambda call, arrays: list(arrays[: call.heads]))
    monkeypatch.setattr(kernel, "launch_angles", lambda names, arrays: [mx.zeros((1, 1, 8))] * 2)


def test_a_layer_of_a_step_passes_through_few_frames(path):
    rope, x = MLXRope(ROPE), drawn(1, 2, 1, 16)
    for _ in range(3):
        rope(x, 5)
    assert frames(lambda: rope(x, 5), warm=0) <= 3
    offset = mx.array([5])
    for _ in range(3):
        rope(x, offset)
    assert frames(lambda: rope(x, offset), warm=0) <= 15


def test_a_bad_input_is_refused_however_often_it_comes():
    rope = MLXRope(ROPE)
    rope(drawn(1, 2, 1, 16), 5)
    for wrong in (mx.zeros((1, 2, 1, 16), mx.int32), drawn(1, 2, 1, 8)):
        for _ in range(3):
            with pytest.raises(tightrope.RopeConfigError, match="q must"):
                rope(wrong, 5)
