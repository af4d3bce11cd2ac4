"""Policy "transformers" against transformers' own rotary module, driven through the same calls, history and all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from draws import DYNAMIC, LONGROPE, ORIGINAL, rope
from tightrope import frequencies
from tightrope.verify.parity.differences import EPS

torch = pytest.importorskip("torch")
modeling = pytest.importorskip("transformers.models.llama.modeling_llama")

HEAD_DIM = 8
SCALINGS = {"dynamic": DYNAMIC, "longrope": {**LONGROPE, "short_factor": [1.0, 1.5, 2.0, 2.5]}}
each_type = pytest.mark.parametrize("scaling", SCALINGS.values(), ids=SCALINGS)

# Growing, shrinking, and the lengths around the original one.
last_positions = st.one_of(st.sampled_from([ORIGINAL - 2, ORIGINAL - 1, ORIGINAL]), st.integers(0, 6 * ORIGINAL))
trajectories = st.lists(st.lists(last_positions, min_size=1, max_size=3), min_size=1, max_size=6)


def theirs(scaling):
    config = modeling.LlamaConfig(
        hidden_size=2 * HEAD_DIM, num_attention_heads=2, head_dim=HEAD_DIM, max_position_embeddings=ORIGINAL,
        rope_parameters={**scaling, "rope_theta": 10000.0},
    )  # fmt: skip
    return modeling.LlamaRotaryEmbedding(config)


def ours(backend, scaling):
    config = rope(max_position_embeddings=ORIGINAL).replace(scaling=scaling)
    return backend.RotaryEmbedding(config, precision="float32", policy="transformers")


def positions(lasts):
    return np.maximum(np.array(lasts)[:, None] + np.array([-1, 0]), 0)


def their_angles(module, at):
    cos, sin = module(torch.zeros(1), torch.from_numpy(at))
    return cos[..., : HEAD_DIM // 2].numpy(), sin[..., : HEAD_DIM // 2].numpy()


def our_angles(backend, module, at):
    cos, sin = module.cos_sin(backend.asarray(at, "int64", backend.devices()[0]))
    return backend.to_numpy(cos), backend.to_numpy(sin)


def held(module, at):
    """Return the float32 frequencies that our module has just used for positions `at`."""
    state = module._ropes["default"]._state
    length = int(at.max()) + 1 if state is None else state
    return frequencies(module.model.rope(), length, precision="float32").inv_freq


def driven(backend, scaling, calls):
    """Drive both modules; yield after each call its positions, both modules, and (ours, theirs) of cos and of sin."""
    module, reference = ours(backend, scaling), theirs(scaling)
    for lasts in calls:
        at = positions(lasts)
        expected, got = their_angles(reference, at), our_angles(backend, module, at)
        yield at, module, reference, zip(got, expected, strict=True)


@each_type
@given(calls=trajectories)
def test_any_sequence_of_calls_turns_as_transformers_does(backend, scaling, calls):
    for at, module, reference, angles in driven(backend, scaling, calls):
        their_freqs, our_freqs = reference.inv_freq.numpy(), held(module, at)
        # torch's float32 power has other last bits for some frequencies; the base of dynamic NTK, itself a power,
        # passes its own on: up to 3.7e-7 of a frequency.
        assert np.abs(our_freqs / their_freqs.astype(np.float64) - 1).max() <= 4 * EPS["float32"]
        # Then the angles differ by the frequencies' difference and a rounding each; equal angles by none. A cosine and
        # its product with the attention factor are rounded on both sides.
        farthest = at.max() * np.abs(our_freqs.astype(np.float64) - their_freqs)
        farthest += EPS["float32"] * at.max() * our_freqs * (our_freqs != their_freqs)
        allowed = (farthest + 3 * EPS["float32"]) * reference.attention_scaling
        for mine, true in angles:
            assert (np.abs(mine - true) <= allowed).all()


@pytest.mark.parametrize("backend", [pytest.param("torch", marks=pytest.mark.backend("torch"))], indirect=True)
@each_type
@given(calls=trajectories)
def test_where_frequencies_have_the_same_bits_so_have_angles(backend, scaling, calls):
    for at, module, reference, angles in driven(backend, scaling, calls):
        same = held(module, at) == reference.inv_freq.numpy()
        for mine, true in angles:
            assert np.array_equal(mine[..., same], true[..., same])


@each_type
def test_a_fresh_module_would_not_do(backend, scaling):
    """History counts for dynamic NTK, whose table stays, and not for LongRoPE, whose table is chosen anew."""
    module = ours(backend, scaling)
    our_angles(backend, module, positions([90]))
    after, fresh = (our_angles(backend, m, positions([20]))[0] for m in (module, ours(backend, scaling)))
    assert np.array_equal(after, fresh) == (scaling is not DYNAMIC)
