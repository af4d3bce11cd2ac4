"""What each real configuration must read as: values from the models' own code, papers and model cards, one line a file.

The files lie beside the checkout, if at all; without them these tests are skipped.
"""

import math

import numpy as np
import pytest

import tightrope

HALF, PAIRS, HEAD, TAIL = "half", "interleaved", "head", "tail"

# file: head_dim, rotary_dim, base, layout, side, rope type, layers, number of layers with position
EXPECTED = {
    # Llama and its kin: LLaMA's rotate_half, whole heads (modeling_llama.py; base 10000 before Llama 3).
    "llama-2-7b": (128, 128, 1e4, HALF, HEAD, "default", 32, 32),
    "llama-3.1-8b": (128, 128, 5e5, HALF, HEAD, "llama3", 32, 32),
    "llama-3.2-1b": (64, 64, 5e5, HALF, HEAD, "llama3", 16, 16),
    "llama-3.2-11b-vision": (128, 128, 5e5, HALF, HEAD, "llama3", 40, 32),  # eight layers attend to the image
    "llama-3.3-70b": (128, 128, 5e5, HALF, HEAD, "llama3", 80, 80),
    "llama-3.3-nemotron-super-49b": (128, 128, 5e5, HALF, HEAD, "llama3", 80, 80),
    "llama-3-8b-instruct-gradient-262k": (128, 128, 283461213.0, HALF, HEAD, "default", 32, 32),
    "chinese-alpaca-2-13b-16k": (128, 128, 1e4, HALF, HEAD, "linear", 40, 40),
    "yi-34b": (128, 128, 5e6, HALF, HEAD, "default", 60, 60),
    "afm-4.5b": (128, 128, 1e4, HALF, HEAD, "yarn", 36, 36),
    "granite-3.3-8b-instruct": (128, 128, 1e7, HALF, HEAD, "default", 40, 40),
    "mistral-7b-v0.1": (128, 128, 1e4, HALF, HEAD, "default", 32, 32),
    "olmo-2-7b": (128, 128, 5e5, HALF, HEAD, "default", 32, 32),
    "gemma-2-9b": (256, 256, 1e4, HALF, HEAD, "default", 42, 42),
    "qwen2.5-7b": (128, 128, 1e6, HALF, HEAD, "default", 28, 28),
    "qwen3-8b": (128, 128, 1e6, HALF, HEAD, "default", 36, 36),
    "qwen3-30b-a3b-instruct-2507": (128, 128, 1e7, HALF, HEAD, "default", 48, 48),
    "deepseek-r1-0528-qwen3-8b": (128, 128, 1e6, HALF, HEAD, "yarn", 36, 36),
    "exaone-3.5-7.8b": (128, 128, 1e6, HALF, HEAD, "llama3", 32, 32),
    "internlm2_5-7b-chat": (128, 128, 1e6, HALF, HEAD, "dynamic", 32, 32),
    "internlm3-8b-instruct": (128, 128, 5e7, HALF, HEAD, "dynamic", 48, 48),
    "ling-lite": (128, 128, 6e5, HALF, HEAD, "default", 28, 28),
    "mimo-7b-base": (128, 128, 640000, HALF, HEAD, "default", 36, 36),
    # Baichuan2-7B's modeling file builds RotaryEmbedding(head_dim) with base 10000; the 13B model has ALiBi.
    "baichuan2-7b": (128, 128, 1e4, HALF, HEAD, "default", 32, 32),
    # gpt-oss: torch reference of OpenAI, chunked halves, YaRN with unrounded correction range.
    "gpt-oss-20b": (64, 64, 150000, HALF, HEAD, "yarn", 24, 24),
    "ministral-3-8b": (128, 128, 1e6, HALF, HEAD, "yarn", 34, 34),
    "devstral-2-123b": (128, 128, 1e6, HALF, HEAD, "yarn", 88, 88),
    # Tencent's modeling_hunyuan.py: base · alpha ** (d / (d − 2)), always.
    "hunyuan-7b-instruct": (128, 128, 1e4, HALF, HEAD, "ntk", 32, 32),
    "hunyuan-a13b-instruct": (128, 128, 1e4, HALF, HEAD, "ntk", 32, 32),
    # A part of the head: GPT-NeoX and StableLM 2 a quarter, Phi 0.4, Phi-4-mini 0.75, MiniMax-M2 64 channels of 128.
    "pythia-12b": (128, 32, 1e4, HALF, HEAD, "default", 36, 36),
    "phi-2": (80, 32, 1e4, HALF, HEAD, "default", 32, 32),
    "phi-2-msft-2023": (80, 32, 1e4, HALF, HEAD, "default", 32, 32),
    "stablelm-2-1.6b": (64, 16, 1e4, HALF, HEAD, "default", 24, 24),
    "phi-4-mini-instruct": (128, 96, 1e4, HALF, HEAD, "longrope", 32, 32),
    "minimax-m2.7": (128, 64, 5e6, HALF, HEAD, "default", 62, 62),
    "phi-3.5-mini-instruct": (96, 96, 1e4, HALF, HEAD, "longrope", 32, 32),
    "phi-3-vision-128k-instruct": (96, 96, 1e4, HALF, HEAD, "longrope", 32, 32),
    "phi-3.5-moe-instruct": (128, 128, 1e4, HALF, HEAD, "longrope", 32, 32),
    # An original length without scaling must switch nothing on.
    "phi-3-mini-4k-instruct": (96, 96, 1e4, HALF, HEAD, "default", 32, 32),
    "phi-4": (128, 128, 250000, HALF, HEAD, "default", 40, 40),
    # Neighbouring channels: GPT-J's rotate_every_two, Cohere, ERNIE 4.5, GLM (half of the head), ChatGLM's own code.
    "gpt-j-6b": (256, 64, 1e4, PAIRS, HEAD, "default", 28, 28),
    "command-r-v01": (128, 128, 8e6, PAIRS, HEAD, "default", 40, 40),
    "aya-23-8b": (128, 128, 1e4, PAIRS, HEAD, "default", 32, 32),
    "ernie-4.5-0.3b": (128, 128, 5e5, PAIRS, HEAD, "default", 18, 18),
    "glm-4-9b-0414": (128, 64, 1e4, PAIRS, HEAD, "default", 40, 40),
    "glm-4-9b-chat-hf": (128, 64, 1e4, PAIRS, HEAD, "default", 40, 40),
    "glm-4-9b-remote-code": (128, 64, 1e4, PAIRS, HEAD, "default", 40, 40),
    # modeling_chatglm.py: base = 10000 · rope_ratio
    "glm-4-9b-chat-remote-code": (128, 64, 5e6, PAIRS, HEAD, "default", 40, 40),
    # MLA: the last qk_rope_head_dim channels of [nope | rope]; MiniCPM3 pairs halves, DeepSeek neighbours.
    "deepseek-v2-lite": (192, 64, 1e4, PAIRS, TAIL, "yarn", 27, 27),
    "deepseek-v3": (192, 64, 1e4, PAIRS, TAIL, "yarn", 61, 61),
    "deepseek-v3.2": (192, 64, 1e4, PAIRS, TAIL, "yarn", 61, 61),
    "kimi-k2-instruct": (192, 64, 5e4, PAIRS, TAIL, "yarn", 61, 61),
    "glm-5": (256, 64, 1e6, PAIRS, TAIL, "default", 78, 78),
    "minicpm3-4b": (96, 32, 1e4, HALF, TAIL, "longrope", 62, 62),
    # No position: every fourth layer of Llama 4 and SmolLM3, global ones of Cohere 2 and EXAONE 4, LFM2 convolutions.
    "llama-4-scout": (128, 128, 5e5, PAIRS, HEAD, "llama3", 48, 36),
    "llama-4-maverick": (128, 128, 5e5, PAIRS, HEAD, "default", 48, 36),
    "smollm3-3b": (128, 128, 5e6, HALF, HEAD, "default", 36, 27),
    "tiny-aya-earth": (128, 128, 5e4, PAIRS, HEAD, "default", 36, 27),
    "exaone-4.5-33b": (128, 128, 1e6, HALF, HEAD, "llama3", 64, 48),
    "lfm2-1.2b": (64, 64, 1e6, HALF, HEAD, "default", 16, 6),
    "lfm2.5-vl-1.6b": (64, 64, 1e6, HALF, HEAD, "default", 16, 6),
    # M-RoPE; Qwen3.5 turns a quarter of the head, in every fourth layer.
    "qwen2.5-vl-7b": (128, 128, 1e6, HALF, HEAD, "default", 28, 28),
    "qwen3-vl-4b": (128, 128, 5e6, HALF, HEAD, "default", 36, 36),
    "qwen3.5-27b": (256, 64, 1e7, HALF, HEAD, "default", 64, 16),
    "qwen3.5-35b-a3b": (256, 64, 1e7, HALF, HEAD, "default", 40, 10),
}

# file: layer type → head_dim, rotary_dim, base, rope type; the first layers
SEVERAL = {
    "gemma-3-1b-it": (
        {"sliding_attention": (256, 256, 1e4, "default"), "full_attention": (256, 256, 1e6, "default")},
        "SSSSSF",
    ),
    # Gemma 3 technical report: global layers scaled by 8, local ones not; 5 local layers to one global.
    "gemma-3-4b-it": (
        {"sliding_attention": (256, 256, 1e4, "default"), "full_attention": (256, 256, 1e6, "linear")},
        "SSSSSF",
    ),
    "gemma-4-26b-a4b": (
        {"sliding_attention": (256, 256, 1e4, "default"), "full_attention": (512, 512, 1e6, "proportional")},
        "SSSSSF",
    ),
    "gemma-4-e2b-it": (
        {"sliding_attention": (256, 256, 1e4, "default"), "full_attention": (512, 512, 1e6, "proportional")},
        "SSSSF",
    ),
}

# YaRN, equation 22: 0.1 ln(factor) + 1
GAIN = {factor: 0.1 * math.log(factor) + 1 for factor in (4, 16, 20, 32, 40)}

# file: the factor on cos and sin, the factor on the logits
FACTORS = {
    "gpt-oss-20b": (GAIN[32], 1.0),
    "afm-4.5b": (GAIN[20], 1.0),  # mscale without mscale_all_dim does nothing
    "deepseek-v3": (1.0, GAIN[40] ** 2),  # mscale = mscale_all_dim = 1: the ratio is 1, the logits get the square
    "deepseek-v2-lite": (1.0, (0.0707 * math.log(40) + 1) ** 2),
    "kimi-k2-instruct": (1.0, GAIN[32] ** 2),
    "ministral-3-8b": (1.0, 1.0),
    "deepseek-r1-0528-qwen3-8b": (1.0, 1.0),  # attn_factor · (0.1 ln 4 + 1)
    "llama-3.1-8b": (1.0, 1.0),
}


@pytest.fixture
def read(shared):
    return lambda name: tightrope.read(shared / "configs" / f"{name}.json")


@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_configuration_reads_as_its_model_computes(read, name):
    model = read(name)
    rope = model.rope()
    got = (rope.head_dim, rope.rotary_dim, rope.base, rope.layout, rope.side, rope.scaling.rope_type)
    assert (*got, len(model.layers), sum(key is not None for key in model.layers)) == EXPECTED[name]


@pytest.mark.parametrize("name", SEVERAL)
def test_several_ropes_are_told_apart(read, name):
    ropes, pattern = SEVERAL[name]
    model = read(name)
    got = {
        key: (rope.head_dim, rope.rotary_dim, rope.base, rope.scaling.rope_type) for key, rope in model.ropes.items()
    }
    assert got == ropes
    letters = "".join(str(key)[0].upper() for key in model.layers)
    assert letters.startswith(pattern * (len(letters) // len(pattern)))


@pytest.mark.parametrize("name", FACTORS)
def test_yarn_scales_what_its_model_scales(read, name):
    model = read(name)
    got = (tightrope.frequencies(model.rope()).attention_factor, model.softmax_scale)
    assert got == pytest.approx(FACTORS[name], rel=1e-15)


@pytest.mark.parametrize(
    ("name", "sections", "order"),
    [
        ("qwen2.5-vl-7b", (16, 24, 24), "chunked"),
        ("qwen3-vl-4b", (24, 20, 20), "interleaved"),
        ("qwen3-vl-30b-a3b", (24, 20, 20), "interleaved"),
        ("qwen3.5-27b", (11, 11, 10), "interleaved"),
    ],
)
def test_position_axes_of_vision_language_models(read, name, sections, order):
    mrope = read(name).rope().mrope
    assert (mrope.sections, mrope.order) == (sections, order)


def test_llama4_scales_the_query_where_it_has_no_position(read):
    # modeling_llama4.py: log1p(floor((position + 1) / 8192)) · 0.1 + 1
    model = read("llama-4-scout")
    positions = np.array([0, 8190, 8191, 100_000])
    expected = 1 + 0.1 * np.log1p(np.floor((positions + 1) / 8192))
    np.testing.assert_allclose(model.query_scale(positions, None), expected, rtol=1e-15)
    np.testing.assert_array_equal(model.query_scale(positions, "default"), 1.0)


def test_ministral3_scales_the_query_of_every_layer(read):
    # modeling_ministral3.py: 1 + 0.1 · log(1 + floor(position / 16384))
    model = read("ministral-3-8b")
    positions = np.array([[0, 16_383], [16_384, 262_143]])
    expected = 1 + 0.1 * np.log(1 + np.floor(positions / 16_384))
    np.testing.assert_allclose(model.query_scale(positions), expected, rtol=1e-15)


def test_a_temperature_of_zero_is_none(read):
    assert not read("devstral-2-123b").query_scales


def test_a_model_without_rotation_has_no_rope_and_says_so(read):
    model = read("jamba-v0.1")
    assert not model.ropes
    assert model.layers == (None,) * 32
    assert any("no rotary positions" in note for note in model.notes)


def test_every_real_configuration_is_read(shared_config):
    assert tightrope.read(shared_config).layers
