"""`tightrope.patch` on mlx-vlm models: M-RoPE with explicit positions, and the text models that mlx-vlm has beside."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import numpy as np
import pytest

mlx_vlm = pytest.importorskip("mlx_vlm", exc_type=ImportError)

import mlx.core as mx
from mlx_vlm.models import llama, qwen2_vl, qwen3_vl

import tightrope
from tightrope.backends.mlx.mlx_vlm import MLXRotary
from tightrope.rope import reference

pytestmark = pytest.mark.backend("mlx")

TEXT = {
    "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "max_position_embeddings": 32_768, "head_dim": 16,
    "tie_word_embeddings": False,
}  # fmt: skip
SECTIONS = {"type": "mrope", "rope_type": "default", "mrope_section": [2, 3, 3]}
MULTIMODAL = {
    "qwen2_vl": (qwen2_vl, {**SECTIONS}),
    "qwen3_vl": (qwen3_vl, {**SECTIONS, "mrope_interleaved": True}),
}
# Tokens of an image in the middle of a text: the axes part and meet again.
POSITIONS = np.stack([np.r_[0:4, [4] * 6, 7:10], np.r_[0:4, 4, 4, 5, 5, 6, 6, 7:10], np.r_[0:4, [4, 5] * 3, 7:10]])[
    :, None
]


def config(name):
    _, scaling = MULTIMODAL[name]
    return {"model_type": name, **TEXT, "rope_theta": 50_000.0, "rope_scaling": scaling}


def built(name):
    """A multimodal model with random weights; its vision tower is never called."""
    module, _ = MULTIMODAL[name]
    mx.random.seed(0)
    whole = {**config(name), "text_config": config(name), "vision_config": {"depth": 1, "hidden_size": 64}}
    arguments = module.ModelConfig.from_dict(dict(whole))
    arguments.text_config = module.TextConfig.from_dict(config(name))
    arguments.vision_config = module.VisionConfig.from_dict(whole["vision_config"])
    return module.Model(arguments)


def logits(model, offset=0):
    tokens = mx.array(np.random.default_rng(1).integers(2, 128, (1, POSITIONS.shape[2])))
    return np.array(model.language_model(tokens, position_ids=mx.array(POSITIONS + offset)).logits)


@pytest.mark.parametrize("name", MULTIMODAL)
def test_image_positions_turn_as_mlx_vlm_turns_them(name):
    model = built(name)
    own = logits(model)
    with tightrope.patched(model, config(name)) as report:
        patched = logits(model)
    assert [part.action for part in report.layers] == ["rope", "rope"]
    # At positions below 16, float32 angles are as good as exact ones: what differs is the order of a few roundings.
    np.testing.assert_allclose(patched, own, atol=64 * np.spacing(np.float32(np.abs(own).max())))


@pytest.mark.parametrize("name", MULTIMODAL)
def test_the_attention_asks_the_patched_module(name):
    model = built(name)
    own = logits(model, offset=30_000)
    with tightrope.patched(model, config(name)):
        assert isinstance(model.language_model.model.layers[0].self_attn.rotary_emb, MLXRotary)
        assert np.abs(logits(model, offset=30_000) - own).max() > 64 * np.spacing(np.float32(np.abs(own).max()))
    np.testing.assert_array_equal(logits(model, offset=30_000), own)


@pytest.mark.parametrize("name", MULTIMODAL)
@pytest.mark.parametrize("unsqueeze_dim", [1, 2])
def test_each_pair_follows_its_axis(name, unsqueeze_dim):
    rope = tightrope.read(config(name)).ropes["default"]
    shape = (1, 3, 13, 16) if unsqueeze_dim == 1 else (1, 13, 3, 16)
    q = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    rotated, _ = MLXRotary(rope).apply_rotary(
        mx.array(q), mx.array(q), mx.array(POSITIONS), unsqueeze_dim=unsqueeze_dim
    )
    cos, sin = (np.expand_dims(part, unsqueeze_dim) for part in reference.cos_sin(rope, POSITIONS))
    exact = reference.rotate(q, cos, sin, layout=rope.layout)
    # Two products, a sum, cos and sin within 1e-7 (README): below four ulp of 1 for the norm of a pair.
    norm = np.abs(q).max() * np.sqrt(2)
    assert np.abs(np.array(rotated) - exact).max() <= 4 * 2.0**-23 * norm


def test_a_text_model_of_mlx_vlm_gets_mlx_lm_s_drop_in():
    values = {"model_type": "llama", **TEXT, "rope_theta": 250_000.0}
    model = llama.Model(llama.ModelConfig.from_dict(values))
    report = tightrope.patch(model, values)
    assert [part.rope for part in report.layers] == ["default, base 250,000, 16 of 16 channels, half"] * 2


def test_axes_that_are_handed_over_unmerged_are_refused():
    model = built("qwen2_vl")
    for layer in model.language_model.model.layers:
        layer.self_attn.rotary_emb.style = "sectioned_half_split"
    with pytest.raises(tightrope.RopeConfigError, match=r"style 'sectioned_half_split'.*Nothing was changed"):
        tightrope.patch(model, config("qwen2_vl"))


def test_a_strange_axis_of_the_heads_is_refused():
    rope = MLXRotary(tightrope.read(config("qwen2_vl")).ropes["default"])
    q = mx.zeros((1, 3, 13, 16))
    with pytest.raises(tightrope.RopeConfigError, match="unsqueeze_dim must be 1 or 2, got 0"):
        rope.apply_rotary(q, q, mx.array(POSITIONS), unsqueeze_dim=0)
