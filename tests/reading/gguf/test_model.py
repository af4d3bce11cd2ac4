"""A GGUF file is read as llama.cpp runs it: its metadata, its divisors, the pairing of its stored weights."""

from pathlib import Path

import numpy as np
import pytest

import tightrope
from samples.gguf_files import SHAPE, gguf, write
from tightrope import MRope, RopeConfigError
from tightrope.rope import reading
from tightrope.rope.reading.gguf.architectures import ARCHITECTURES, REFUSED, WITHOUT
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


@pytest.fixture
def read(tmp_path):
    def make(architecture="llama", tensors=None, **keys):
        given = {**SHAPE, **{key.replace("__", "."): value for key, value in keys.items()}}
        path = write(tmp_path / "model.gguf", architecture, {k: v for k, v in given.items() if v is not None}, tensors)
        return tightrope.read(path)

    return make


def test_metadata_become_one_rope_for_every_layer(read):
    model = read(rope__dimension_count=32, attention__key_length=128)
    rope = model.rope()
    assert (rope.head_dim, rope.rotary_dim, rope.base, rope.max_position_embeddings) == (128, 32, 5e5, 4096)
    assert model.layers == ("default",) * 4


def test_widths_follow_from_the_heads_where_the_file_has_no_key_length(read):
    assert (read().rope().head_dim, read().rope().rotary_dim) == (64, 64)


def test_a_base_that_is_missing_is_noted(read):
    model = read(rope__freq_base=None)
    assert model.rope().base == 10_000.0
    assert any("llama.freq_base" in note or "llama.rope.freq_base" in note for note in model.notes)


@pytest.mark.parametrize(
    ("architecture", "layout"), [("llama", "interleaved"), ("qwen2", "half"), ("phi3", "half"), ("glm4", "interleaved")]
)
def test_the_layout_is_that_of_the_stored_weights_and_a_note_says_so(read, architecture, layout):
    model = read(architecture)
    assert model.rope().layout == layout
    assert any("weights as stored" in note for note in model.notes)


def test_every_architecture_of_the_package_is_in_the_table_once():
    named = [*ARCHITECTURES, *WITHOUT, *REFUSED]
    assert len(set(named)) == len(named)
    assert set(gguf.MODEL_ARCH_NAMES.values()) <= set(named)


def test_every_rope_key_of_the_package_is_read():
    keys = {value.removeprefix("{arch}.") for name, value in vars(gguf.Keys.Rope).items() if name.isupper()}
    source = "".join(file.read_text("utf-8") for file in Path(reading.__file__).parent.glob("gguf/*.py"))
    bases = {key.removesuffix("_swa") for key in keys}  # a suffix says that a key is the sliding layers'
    assert {key for key in bases if f'"{key}' not in source} == set()


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


def test_deepseek_turns_the_tail_and_scales_the_logits_as_its_config_json_asks(read):
    model = read(
        "deepseek2",
        attention__key_length=576,
        attention__key_length_mla=192,
        rope__dimension_count=64,
        rope__scaling__type="yarn",
        rope__scaling__factor=40.0,
        rope__scaling__original_context_length=4096,
        rope__scaling__yarn_log_multiplier=0.0707,
    )
    rope = model.rope()
    assert (rope.head_dim, rope.rotary_dim, rope.side) == (192, 64, "tail")
    assert tightrope.frequencies(rope).attention_factor == 1
    assert model.softmax_scale == pytest.approx((0.0707 * np.log(40) + 1) ** 2, rel=1e-12)  # DeepSeek-V2's mscale


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


@pytest.mark.parametrize(("architecture", "order"), [("qwen2vl", "chunked"), ("qwen3vl", "interleaved")])
def test_sections_become_position_axes(read, architecture, order):
    rope = read(architecture, rope__dimension_sections=[12, 10, 10, 0]).rope()
    assert rope.mrope == MRope(sections=(12, 10, 10), order=order)


def test_sections_pair_halves_even_where_the_text_model_pairs_neighbours(read):
    assert read("glm4", rope__dimension_sections=[8, 12, 12, 0]).rope().layout == "half"


def test_sliding_layers_of_gemma_3_have_their_own_base_and_no_scaling(read):
    model = read(
        "gemma3",
        attention__sliding_window=1024,
        block_count=7,
        rope__freq_base=1e6,
        rope__scaling__type="linear",
        rope__scaling__factor=8.0,
    )
    assert model.layers == ("sliding_attention",) * 5 + ("full_attention", "sliding_attention")
    assert (model.ropes["sliding_attention"].base, model.ropes["full_attention"].base) == (1e4, 1e6)
    assert [rope.scaling.rope_type for rope in model.ropes.values()] == ["linear", "default"]


def test_a_stated_pattern_and_base_of_the_sliding_layers_come_first(read):
    model = read("mimo2", rope__freq_base_swa=1e4, attention__sliding_window_pattern=[True, False, True, True])
    sliding, full = "sliding_attention", "full_attention"
    assert model.layers == (sliding, full, sliding, sliding)
    assert model.ropes[sliding].base == 1e4


@pytest.mark.parametrize("architecture", ["smollm3", "llama4", "cohere2"])
def test_layers_without_position_have_none(read, architecture):
    assert read(architecture).layers == ("default", "default", "default", None)


def test_hybrids_have_positions_only_where_they_attend(read):
    assert read("lfm2", attention__head_count_kv=[0, 2, 0, 2]).layers == (None, "default", None, "default")


def test_a_temperature_without_a_length_counts_in_original_lengths(read):
    """Every Ministral 3: llama.cpp, executed, scales by 1.06931 at 16384 and by 1.10986 at 40000."""
    model = read("mistral3", attention__temperature_scale=0.1, rope__scaling__original_context_length=16384)
    assert [model.query_scale(position) for position in (16384, 40000)] == pytest.approx([1.06931, 1.10986], abs=5e-6)


def test_yarn_attn_factor_is_not_multiplied_a_second_time(read):
    """OLMo 3: its converter writes config.json's attention_factor there, 0.1 ln 8 + 1, which is YaRN's own."""
    keys = {"rope__scaling__type": "yarn", "rope__scaling__factor": 8.0, "rope__scaling__original_context_length": 8192}
    model = read("olmo2", **keys, rope__scaling__yarn_attn_factor=1.2079441547393799)
    assert tightrope.frequencies(model.rope()).attention_factor == pytest.approx(0.1 * np.log(8) + 1, rel=1e-12)
    assert any("yarn_attn_factor" in note for note in model.notes)


def test_a_pattern_holds_only_where_the_file_has_a_window(read):
    keys = {"rope__freq_base_swa": 10000.0, "block_count": 8}
    assert set(read("gemma3", **keys).layers) == {"default"}
    assert read("gemma3", **keys, attention__sliding_window=1024).layers[5] == "full_attention"


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


def test_gemma_3_as_ollama_wrote_it(read):
    model = read(
        "gemma3",
        block_count=6,
        context_length=131072,
        rope__freq_base=None,
        attention__sliding_window=1024,
        rope__global__freq_base=1e6,
        rope__local__freq_base=1e4,
    )
    assert {key: (rope.base, rope.scaling) for key, rope in model.ropes.items()} == {
        "full_attention": (1e6, Linear(factor=8.0)),
        "sliding_attention": (1e4, model.ropes["sliding_attention"].scaling),
    }
    assert any("Ollama" in note for note in model.notes)
    assert not any("is not read" in note for note in model.notes)


def test_mistral_3_as_ollama_wrote_it(read):
    keys = {"type": "yarn", "factor": 16.0, "original_context_length": 16384, "beta_fast": 16.0, "mscale_all_dim": 1.0}
    model = read("mistral3", rope__scaling_beta=0.1, **{f"rope__scaling__{key}": value for key, value in keys.items()})
    assert tightrope.frequencies(model.rope()).attention_factor == 1
    assert model.rope().scaling.beta_fast == 16
    assert model.query_scale(16384) == pytest.approx(1.06931, abs=5e-6)


def test_gpt_oss_is_said_to_differ_from_its_config_json(read):
    model = read("gpt-oss", rope__scaling__type="yarn", rope__scaling__factor=32.0)
    assert any("truncate" in note for note in model.notes)


def test_a_misspelt_key_is_noted_with_what_was_meant(read):
    model = read(rope__frequency_base=1e6)
    assert any("llama.rope.frequency_base (1000000.0) is not read" in note for note in model.notes)


def test_a_key_that_is_not_read_is_an_error_where_reading_is_strict(tmp_path):
    path = write(tmp_path / "model.gguf", "llama", {**SHAPE, "rope.frequency_base": 1e6})
    with pytest.raises(RopeConfigError, match=r"llama\.rope\.frequency_base \(1000000\.0\) is not read"):
        tightrope.read(path, strict=True)


def test_a_temperature_in_the_file_scales_the_query(read):
    model = read("mistral3", attention__temperature_scale=0.1, attention__temperature_length=16)
    assert model.query_scale(16) == 1 + 0.1 * np.log(2)


@pytest.mark.parametrize("architecture", ["gpt2", "mamba"])
def test_an_architecture_without_rotation_has_no_ropes(read, architecture):
    model = read(architecture)
    assert (dict(model.ropes), model.layers) == ({}, (None,) * 4)


@pytest.mark.parametrize(
    ("architecture", "keys", "text"),
    [
        ("llama", {"block_count": None}, "llama.block_count is required"),
        ("llama", {"block_count": 2**32 - 1}, "llama.block_count must be <= 10000, got 4294967295"),
        ("llama", {"embedding_length": None}, "llama.attention.key_length, or embedding_length"),
        ("llama", {"rope__scaling__type": "yran"}, "llama.rope.scaling.type must be one of 'none', 'linear', 'yarn'"),
        ("llama", {"rope__freq_base": 0.0}, "llama.rope.freq_base must be > 0"),
        (
            "afmoe",
            {"rope__scaling__type": "none", "rope__scaling__factor": 4.0},
            "afmoe.rope.scaling.type 'none' beside rope.scaling.factor 4",
        ),
        ("llama", {"rope__dimension_count": 31}, "rotary_dim must be even, got 31"),
        ("phi3", {"rope__scaling__type": "longrope"}, "tensor rope_factors_long of LongRoPE is required and missing"),
        ("gemma4", {"rope__freq_base_swa": 1e4}, "gemma4.attention.sliding_window_pattern is required"),
        (
            "lfm2",
            {"attention__head_count_kv": ["8", "0", "8", "0"]},
            "lfm2.attention.head_count_kv must be a whole number, got a list of 4 strings",
        ),
        ("qwen3vl", {}, "qwen3vl.rope.dimension_sections is required (the pairs of each position axis) and missing"),
        ("mistral3", {"attention__temperature_scale": 0.1}, "mistral3.attention.temperature_length, or rope.scaling"),
        ("deepseek4", {}, "give its config.json"),
        ("gptj", {}, "give its config.json"),
        ("qwen9", {}, "did you mean 'qwen'"),
        ("nonesuch", {}, "unknown architecture 'nonesuch'"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused_by_key(read, architecture, keys, text):
    with pytest.raises(RopeConfigError, match=r"model\.gguf") as caught:
        read(architecture, **keys)
    assert text in str(caught.value)


def test_a_tensor_of_the_wrong_length_is_refused(read):
    with pytest.raises(RopeConfigError, match="one entry per rotated pair"):
        read(tensors={"rope_freqs": np.ones(7, np.float32)})


def test_half_a_pair_of_factor_tensors_is_refused(read):
    with pytest.raises(RopeConfigError, match="tensor rope_factors_short of LongRoPE is required"):
        read("phi3", tensors={"rope_factors_long": np.ones(32, np.float32)})
