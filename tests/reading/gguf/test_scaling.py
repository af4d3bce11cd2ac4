"""The scaling keys and the tensors of divisors of a GGUF file become the rope type that llama.cpp runs."""

import numpy as np
import pytest

import tightrope
from tightrope import RopeConfigError
from tightrope.rope.scaling.divisors import Divisors
from tightrope.rope.scaling.linear import Linear
from tightrope.rope.scaling.llama3 import Llama3
from tightrope.rope.scaling.longrope import LongRope
from tightrope.rope.scaling.ntk import Ntk
from tightrope.rope.scaling.yarn import Yarn

LLAMA3 = {
    "model_type": "llama",
    "hidden_size": 512,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": 131072,
    "rope_theta": 5e5,
}

YARN_BETAS = {
    "rope__scaling__type": "yarn",
    "rope__scaling__factor": 4.0,
    "rope__scaling__original_context_length": 1024,
    "rope__scaling__yarn_beta_fast": 16.0,
    "rope__scaling__yarn_beta_slow": 2.0,
}


@pytest.mark.parametrize(
    ("architecture", "keys", "scaling"),
    [
        ("qwen2", {"rope__scaling__type": "linear", "rope__scaling__factor": 4.0}, Linear(factor=4.0)),
        ("qwen2", {"rope__scale_linear": 2.0}, Linear(factor=2.0)),
        ("qwen2", YARN_BETAS, Yarn(factor=4.0, original_max_position_embeddings=1024)),
        ("grok", YARN_BETAS, Yarn(factor=4.0, original_max_position_embeddings=1024, beta_fast=16.0, beta_slow=2.0)),
    ],
)
def test_scaling_keys_name_the_rope_type(read, architecture, keys, scaling):
    assert read(architecture, **keys).rope().scaling == scaling


def test_betas_are_noted_where_llama_cpp_does_not_read_them(read):
    assert any("yarn_beta_fast (16.0) is not read by llama.cpp" in note for note in read("qwen2", **YARN_BETAS).notes)


def test_alpha_is_the_factor_of_ntk_in_the_architecture_that_reads_it(read):
    assert read("hunyuan-dense", rope__scaling__alpha=1000.0).rope().scaling == Ntk(factor=1000.0)
    model = read("qwen2", rope__scaling__alpha=1000.0)
    assert model.rope().scaling.rope_type == "default"
    assert any("qwen2.rope.scaling.alpha (1000.0) is not read by llama.cpp" in note for note in model.notes)


def test_attn_factor_multiplies_the_gain_of_yarn(read):
    keys = {"rope__scaling__type": "yarn", "rope__scaling__factor": 4.0, "rope__scaling__attn_factor": 0.5}
    plain = read("qwen2", **{**keys, "rope__scaling__attn_factor": 1.0}).rope()
    halved = read("qwen2", **keys).rope()
    assert tightrope.frequencies(halved).attention_factor == tightrope.frequencies(plain).attention_factor / 2


def test_rope_freqs_of_llama_3_1_give_the_frequencies_of_its_config_json(read):
    block = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    same = tightrope.read({**LLAMA3, "rope_scaling": {**block, "original_max_position_embeddings": 8192}}).rope()
    plain = tightrope.read(LLAMA3).rope()
    divisors = tightrope.frequencies(plain).inv_freq / tightrope.frequencies(same).inv_freq
    model = read(attention__key_length=128, context_length=131072, tensors={"rope_freqs": np.float32(divisors)})
    assert isinstance(model.rope().scaling, Llama3)
    assert np.array_equal(tightrope.frequencies(model.rope()).inv_freq, tightrope.frequencies(same).inv_freq)


def test_rope_freqs_of_another_kind_divide_pair_by_pair(read):
    divisors = np.linspace(1, 9, 32, dtype=np.float32)
    rope = read(tensors={"rope_freqs": divisors}).rope()
    assert rope.scaling == Divisors(divisor=tuple(divisors.tolist()))
    plain = tightrope.frequencies(rope.replace(scaling={"rope_type": "default"})).inv_freq
    assert np.array_equal(tightrope.frequencies(rope).inv_freq, plain / divisors)


def test_rope_freqs_of_ones_divide_nothing(read):
    assert read(tensors={"rope_freqs": np.ones(32, np.float32)}).rope().scaling.rope_type == "default"


def test_factor_tensors_become_longrope(read):
    short, long = np.full(32, 1.5, np.float32), np.full(32, 8.0, np.float32)
    rope = read(
        "phi3",
        tensors={"rope_factors_short": short, "rope_factors_long": long},
        rope__scaling__original_context_length=1024,
        rope__scaling__attn_factor=1.25,
    ).rope()
    assert rope.scaling == LongRope(
        short_factor=(1.5,) * 32,
        long_factor=(8.0,) * 32,
        original_max_position_embeddings=1024,
        attention_factor=1.25,
    )


def test_yarn_attn_factor_is_not_multiplied_a_second_time(read):
    """OLMo 3: its converter writes config.json's attention_factor there, 0.1 ln 8 + 1, which is YaRN's own."""
    keys = {"rope__scaling__type": "yarn", "rope__scaling__factor": 8.0, "rope__scaling__original_context_length": 8192}
    model = read("olmo2", **keys, rope__scaling__yarn_attn_factor=1.2079441547393799)
    assert tightrope.frequencies(model.rope()).attention_factor == pytest.approx(0.1 * np.log(8) + 1, rel=1e-12)
    assert any("yarn_attn_factor" in note for note in model.notes)


def test_scaling_and_divisors_multiply(read):
    divisors = np.linspace(1, 8, 32, dtype=np.float32)
    keys = {"rope__scaling__type": "linear", "rope__scaling__factor": 4.0}
    rope = read(tensors={"rope_freqs": divisors}, **keys).rope()
    assert rope.scaling == Divisors(divisor=tuple((4 * divisors.astype(np.float64)).tolist()))
    factors = {"rope_factors_short": divisors, "rope_factors_long": 2 * divisors}
    longrope = read("phi3", tensors=factors, rope__scaling__factor=4.0).rope().scaling
    assert longrope.long_factor == tuple((8 * divisors.astype(np.float64)).tolist())


def test_yarn_beside_divisors_is_refused(read):
    with pytest.raises(RopeConfigError, match="scaling type 'yarn' beside tensors of divisors"):
        read(
            tensors={"rope_freqs": np.linspace(1, 8, 32, dtype=np.float32)},
            rope__scaling__type="yarn",
            rope__scaling__factor=4.0,
        )


def test_gpt_oss_is_said_to_differ_from_its_config_json(read):
    model = read("gpt-oss", rope__scaling__type="yarn", rope__scaling__factor=32.0)
    assert any("truncate" in note for note in model.notes)


def test_a_tensor_of_the_wrong_length_is_refused(read):
    with pytest.raises(RopeConfigError, match="one entry per rotated pair"):
        read(tensors={"rope_freqs": np.ones(7, np.float32)})


def test_half_a_pair_of_factor_tensors_is_refused(read):
    with pytest.raises(RopeConfigError, match="tensor rope_factors_short of LongRoPE is required"):
        read("phi3", tensors={"rope_factors_long": np.ones(32, np.float32)})
