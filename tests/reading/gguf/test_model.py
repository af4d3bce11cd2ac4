"""A GGUF file is read as llama.cpp runs it: its metadata, its layers, the pairing of its stored weights."""

from pathlib import Path

import numpy as np
import pytest

import tightrope
from samples.gguf_files import SHAPE, gguf, write
from tightrope import MRope, RopeConfigError
from tightrope.rope import reading
from tightrope.rope.reading.gguf.architectures import ARCHITECTURES, REFUSED, WITHOUT
from tightrope.rope.scaling.linear import Linear


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


def test_a_pattern_holds_only_where_the_file_has_a_window(read):
    keys = {"rope__freq_base_swa": 10000.0, "block_count": 8}
    assert set(read("gemma3", **keys).layers) == {"default"}
    assert read("gemma3", **keys, attention__sliding_window=1024).layers[5] == "full_attention"


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
