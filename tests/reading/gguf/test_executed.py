"""Every architecture that llama.cpp and Tightrope both know rotates in llama.cpp, executed, as Tightrope reads it."""

import numpy as np
import pytest

from samples.llama_cpp_headers import header
from tightrope.rope import reference
from tightrope.rope.frequencies import frequencies
from tightrope.rope.reading.gguf.architectures import ARCHITECTURES, WITHOUT
from tightrope.rope.reading.gguf.model import model_of
from tightrope.verify.llama_cpp import Refusal
from tightrope.verify.llama_cpp.rotation import Rotations, set_up_for

pytest.importorskip("xllamacpp", reason="llama.cpp is not installed (the extra llama-cpp)")

POSITIONS = np.array([0, 1, 37, 700, 5000])

# llama.cpp multiplies its float32 angle up pair by pair: 64 roundings of 2⁻²⁴ per radian, and some of the value.
_VALUE, _ANGLE = 4e-6, 64 * 2.0**-24

# What llama.cpp 2026.10.11549 does not run with virtual weights, by its own words.
NOT_RUN = {"clef": "its loader looks for the tensors of its decision head in the file"}


def differences(rope, x, y, context):
    """How far y is from x rotated in float64, as a part of what float32 angles explain."""
    positions = np.broadcast_to(POSITIONS, (rope.axes, 1, len(POSITIONS))) if rope.axes > 1 else POSITIONS[None]
    seq_len = context if rope.scaling.follows_length else None
    cos, sin = (part[:, None] for part in reference.cos_sin(rope, positions, seq_len=seq_len))
    exact = reference.rotate(np.moveaxis(x, 0, 1)[None], cos, sin, layout=rope.layout, side=rope.side)
    rates = frequencies(rope, seq_len)
    angle = np.abs(POSITIONS)[None, None, :, None] * np.abs(rates.inv_freq).max()
    allowed = 8 * rates.attention_factor * (_VALUE + _ANGLE * angle)
    return np.abs(np.moveaxis(y, 0, 1)[None] - exact) / allowed


def check(file, context=32768):
    model = model_of(file)
    width = max(rope.head_dim if rope.side == "head" else rope.rotary_dim for rope in model.ropes.values())
    x = np.random.default_rng(0).standard_normal((len(POSITIONS), 2, width)).astype(np.float32)
    with Rotations(file, model, context) as executed:
        found = executed.rotated(x, POSITIONS)
        temperatures = executed.temperatures(POSITIONS)
        softmax = executed.softmax_scale() if len(model.ropes) == 1 else None  # widths differ by layer
    assert sorted(found) == [index for index, key in enumerate(model.layers) if key is not None]
    for layer, arrays in found.items():
        rope = model.for_layer(layer)
        for y in arrays:
            assert differences(rope, x[:, : y.shape[1]], y, set_up_for(context, model)).max() <= 1, f"layer {layer}"
    for layer, values in temperatures.items():
        scale = model.query_scales[model.layers[layer]]
        np.testing.assert_allclose(values, scale(POSITIONS), rtol=2e-7)
    assert {model.layers[layer] for layer in temperatures} == set(model.query_scales)
    if softmax is not None:
        # A float32 quotient, logarithms, products and a square on either side.
        assert model.softmax_scale == pytest.approx(softmax, rel=16 * 2.0**-24)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - set(NOT_RUN)))
def test_every_layer_rotates_as_llama_cpp_does(architecture):
    check(header(architecture))


@pytest.mark.parametrize("architecture", sorted(NOT_RUN))
def test_what_is_left_out_is_what_llama_cpp_does_not_run(architecture):
    file = header(architecture)
    with pytest.raises(Refusal), Rotations(file, model_of(file), 512) as executed:
        executed.rotated(np.zeros((1, 2, 64), np.float32), POSITIONS[:1])


DIVISORS = tuple(np.linspace(1, 9, 32, dtype=np.float32).tolist())
LONG, SHORT = (
    tuple(np.linspace(1, 30, 32, dtype=np.float32).tolist()),
    tuple(np.linspace(1, 2, 32, dtype=np.float32).tolist()),
)
YARN = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 8.0,
    "rope.scaling.original_context_length": 8192,
    "rope.scaling.yarn_beta_fast": 32.0,
    "rope.scaling.yarn_beta_slow": 1.0,
}
BETAS = {"rope.scaling.yarn_beta_fast": 16.0, "rope.scaling.yarn_beta_slow": 2.0}
LINEAR = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
LONGROPE = {"rope.scaling.type": "longrope", "rope.scaling.original_context_length": 4096}
SLIDING = {"rope.freq_base_swa": 20_000.0}
TEMPERATURE = {"attention.temperature_scale": 0.1}
OWN_PATTERN = {"attention.sliding_window_pattern": [True, True, False, True] * 2}
FACTORS = {"rope_factors_long": LONG, "rope_factors_short": SHORT}

CASES = {
    "linear": ("llama", LINEAR, {}),
    "rope_freqs": ("llama", {}, {"rope_freqs": DIVISORS}),
    "rope_freqs and linear": ("llama", LINEAR, {"rope_freqs": DIVISORS}),
    "yarn": ("qwen3", YARN, {}),
    "yarn_attn_factor is not read": ("olmo2", {**YARN, "rope.scaling.yarn_attn_factor": 1.2079441547393799}, {}),
    "attn_factor multiplies": ("qwen3", {**YARN, "rope.scaling.attn_factor": 0.5}, {}),
    "attn_factor without scaling": ("llama", {"rope.scaling.attn_factor": 0.5}, {}),
    "attn_factor beside linear": ("qwen3", {**LINEAR, "rope.scaling.attn_factor": 0.5}, {}),
    "attn_factor beside rope_freqs": ("llama", {"rope.scaling.attn_factor": 0.5}, {"rope_freqs": DIVISORS}),
    "attn_factor of sliding layers": ("gemma3", {**SLIDING, **LINEAR, "rope.scaling.attn_factor": 0.5}, {}),
    "attn_factor not of sliding layers": ("olmo2", {**LINEAR, "rope.scaling.attn_factor": 0.5}, {}),
    "attn_factor of logits": ("deepseek2", {"rope.scaling.attn_factor": 0.5}, {}),
    "betas": ("grok", {**YARN, **BETAS}, {}),
    "betas elsewhere": ("deepseek2", {**YARN, **BETAS}, {}),
    "extrapolation": ("grok", {**YARN, "rope.scaling.yarn_ext_factor": 0.5}, {}),
    "extrapolation of 0": ("grok", {**YARN, "rope.scaling.yarn_ext_factor": 0.0}, {}),
    "extrapolation elsewhere": ("qwen3", {**YARN, "rope.scaling.yarn_ext_factor": 0.5}, {}),
    "rope_freqs elsewhere": ("qwen3", {}, {"rope_freqs": DIVISORS}),
    "longrope elsewhere": ("qwen3", {**LONGROPE, "rope.scaling.factor": 4.0}, FACTORS),
    "longrope's tensors of another type": ("llama", {}, FACTORS),
    "longrope in llama": ("llama", LONGROPE, {**FACTORS, "rope_freqs": DIVISORS}),
    "longrope's tensors without a type": ("phi3", {"rope.scaling.original_context_length": 4096}, FACTORS),
    "yarn of latent attention": ("deepseek2", YARN, {}),
    "mscale beside another": ("deepseek32", {**YARN, "rope.scaling.yarn_log_multiplier": 0.07}, {}),
    "linear of latent attention": ("mistral4", {**LINEAR, "rope.scaling.yarn_log_multiplier": 0.07}, {}),
    "log multiplier elsewhere": ("glm-dsa", {**YARN, "rope.scaling.yarn_log_multiplier": 0.07}, {}),
    "dots3note yarn": ("dots3note", YARN, {}),
    "recurrent layers": ("qwen35", {"attention.recurrent_layers": [True, False, False, True] * 2}, {}),
    "interval of full attention": ("qwen3next", {"full_attention_interval": 2}, {}),
    "interval elsewhere": ("lfm2", {"full_attention_interval": 2}, {}),
    "log multiplier": ("mistral3", {**YARN, "rope.scaling.yarn_log_multiplier": 1.0}, {}),
    "DeepSeek's log multiplier": ("deepseek2", {**YARN, "rope.scaling.yarn_log_multiplier": 0.0707}, {}),
    "temperature by the original length": ("mistral3", {**YARN, **TEMPERATURE}, {}),
    "temperature by its own length": (
        "deepseek2",
        {**TEMPERATURE, "attention.temperature_length": 500},
        {},
    ),
    "gemma3 without a window": ("gemma3", {**YARN, "attention.sliding_window": None, "rope.freq_base_swa": 1e4}, {}),
    "gemma3 linear": ("gemma3", LINEAR, {}),
    "gemma3 with its own sliding base": ("gemma3", SLIDING, {}),
    "gemma3 yarn": ("gemma3", YARN, {}),
    "olmo2 linear": ("olmo2", LINEAR, {}),
    "cohere2 sliding base": ("cohere2", {**SLIDING, **LINEAR}, {}),
    "llama4 sliding base": ("llama4", {**SLIDING, **LINEAR}, {}),
    "llama4 pattern": ("llama4", {**SLIDING, **OWN_PATTERN}, {}),
    "exaone4 of 64 layers": ("exaone4", {"block_count": 64, **SLIDING, **LINEAR}, {}),
    "gemma2 sliding base": ("gemma2", {**SLIDING, **LINEAR}, {}),
    "smallthinker without a window": ("smallthinker", {"attention.sliding_window": None}, {}),
    "smallthinker pattern": ("smallthinker", {**SLIDING, **OWN_PATTERN, **LINEAR}, {}),
    "afmoe pattern": ("afmoe", {**SLIDING, **OWN_PATTERN, **LINEAR}, {}),
    "exaone-moe pattern": ("exaone-moe", {**SLIDING, **OWN_PATTERN, **LINEAR}, {}),
    "cohere2moe pattern": ("cohere2moe", {**SLIDING, **OWN_PATTERN, **LINEAR}, {}),
    "muse-glimmer pattern": ("muse-glimmer", {**SLIDING, **OWN_PATTERN, **LINEAR}, {}),
    "maple linear": ("maple", {**SLIDING, **LINEAR}, {}),
    "laguna widths": ("laguna", {**SLIDING, "rope.dimension_count": 48, "rope.dimension_count_swa": 32, **LINEAR}, {}),
    "spark2_5 linear": ("spark2_5", {**SLIDING, **LINEAR}, {}),
    "gemma-embedding2 linear": ("gemma-embedding2", {**SLIDING, **LINEAR}, {}),
    "mimo2 linear": ("mimo2", {**SLIDING, **LINEAR}, {}),
    "plamo3 linear": ("plamo3", {**SLIDING, **LINEAR}, {}),
    "step35 linear and divisors": ("step35", {**SLIDING, **LINEAR}, {"rope_freqs": DIVISORS[:16]}),
    "gemma4 divisors": ("gemma4", SLIDING, {"rope_freqs": DIVISORS}),
    "mellum sliding base": ("mellum", {**SLIDING, **LINEAR}, {}),
    "alpha": ("hunyuan-dense", {"rope.scaling.alpha": 1000.0}, {}),
    "alpha elsewhere": ("llama", {"rope.scaling.alpha": 1000.0}, {}),
    "sections elsewhere": ("llama", {"rope.dimension_sections": [8, 12, 12, 0]}, {}),
    "sections of glm4": ("glm4", {"rope.dimension_sections": [8, 12, 12, 0]}, {}),
    "longrope, long": ("phi3", LONGROPE, FACTORS),
    "longrope with a factor": ("phi3", {**LONGROPE, "rope.scaling.factor": 4.0}, FACTORS),
    "granite switched off": ("granite", {"rope.scaling.finetuned": True}, {}),
    "width of latent attention elsewhere": ("afmoe", {"attention.key_length_mla": 96}, {}),
    "partial": ("stablelm", {"rope.dimension_count": 16}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_key_counts_where_llama_cpp_reads_it(case):
    architecture, keys, divisors = CASES[case]
    check(header(architecture, keys, divisors))


def test_longrope_takes_the_short_factors_within_its_original_length():
    check(header("phi3", LONGROPE, FACTORS), context=4096)


def test_pairs_of_a_fourth_axis_are_noted_and_not_rotated_by_llama_cpp():
    """Qwen3-VL's own code gives them to the first axis; ggml to a fourth, whose position is 0 in text."""
    file = header("qwen3vl", {"rope.dimension_sections": [12, 10, 10, 0]})
    model = model_of(file)
    assert any("pairs 31 to a fourth" in note for note in model.notes)
    x = np.ones((len(POSITIONS), 2, 64), np.float32)
    with Rotations(file, model, 512) as executed:
        y = executed.rotated(x, POSITIONS)[0][0]
    assert np.array_equal(y[..., [31, 63]], x[..., [31, 63]])


def test_an_architecture_without_rotation_is_in_no_table_of_rotations():
    assert not set(ARCHITECTURES) & WITHOUT
