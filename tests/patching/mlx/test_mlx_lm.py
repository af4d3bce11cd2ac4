"""`tightrope.patch` on mlx-lm models: what it replaces, asks for and refuses."""

import importlib

import numpy as np
import pytest

pytest.importorskip("mlx_lm", exc_type=ImportError)

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

import tightrope
from models.tiny_models import SIZES, fields
from tightrope.backends.mlx.mlx_lm.places import pairing
from tightrope.backends.mlx.mlx_lm.rope import MLXRope

pytestmark = pytest.mark.backend("mlx")

OLDER = {
    "model_type": "llama", **SIZES, "rms_norm_eps": 1e-6, "rope_theta": 250_000.0,
    "rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 4.0},
}  # fmt: skip


def built(config):
    """Return mlx-lm's model for a configuration in the older spelling, with random weights."""
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    mx.random.seed(0)
    return module.Model(module.ModelArgs.from_dict(config))


@pytest.fixture
def llama():
    return built(OLDER)


def logits(model, length=12):
    return np.array(model(mx.array(np.random.default_rng(1).integers(2, 128, (1, length)))))


def test_every_layer_gets_a_rope_and_nothing_else_changes(llama):
    before = dict(tree_flatten(llama.parameters()))
    report = tightrope.patch(llama)
    assert [part.module for part in report.layers] == ["layers.0.self_attn.rope", "layers.1.self_attn.rope"]
    assert all(isinstance(layer.self_attn.rope, MLXRope) for layer in llama.layers)
    after = dict(tree_flatten(llama.parameters()))
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


def test_unpatching_gives_back_the_very_same_objects(llama):
    ropes, before = [layer.self_attn.rope for layer in llama.layers], logits(llama)
    with tightrope.patched(llama):
        pass
    assert [layer.self_attn.rope for layer in llama.layers] == ropes
    np.testing.assert_array_equal(logits(llama), before)


def test_other_models_of_the_process_keep_their_own_ropes(llama):
    other = built(OLDER)
    tightrope.patch(llama)
    assert isinstance(other.layers[0].self_attn.rope, nn.RoPE)


def test_weights_still_load_strictly(llama, tmp_path):
    path = str(tmp_path / "weights.safetensors")
    llama.save_weights(path)
    tightrope.patch(llama)
    llama.load_weights(path, strict=True)


def test_quantised_layers_change_nothing(llama):
    nn.quantize(llama, group_size=32, bits=8)
    own = logits(llama)
    with tightrope.patched(llama):
        # The rotation's rounding, a few float32 ulp, passes through two layers.
        np.testing.assert_allclose(logits(llama), own, atol=64 * np.spacing(np.abs(own).max()))


def test_gradients_flow_through_a_patched_model(llama):
    tightrope.patch(llama)
    tokens = mx.array([[5, 6, 7, 8]])
    loss = nn.value_and_grad(llama, lambda tokens: nn.losses.cross_entropy(llama(tokens), tokens).mean())
    _, gradients = loss(tokens)
    # Of scores; k_proj feels them through the rotation alone.
    assert mx.abs(gradients["model"]["layers"][0]["self_attn"]["k_proj"]["weight"]).max().item() > 0


def test_a_compiled_step_uses_the_patched_ropes(llama):
    tightrope.patch(llama)
    tokens = mx.array([[5, 6, 7, 8]])
    compiled = mx.compile(lambda tokens: llama(tokens))(tokens)
    eager = np.array(llama(tokens))
    np.testing.assert_allclose(np.array(compiled), eager, atol=64 * np.spacing(np.abs(eager).max()))


def test_the_softmax_factor_that_mlx_lm_drops_is_mended():
    newer = {key: value for key, value in fields("deepseek_v3").items() if key != "head_dim"} | {"rms_norm_eps": 1e-6}
    model = built({**newer, "rope_theta": 10_000.0, "rope_scaling": None})
    rope = tightrope.read(newer)
    attention = model.layers[0].self_attn
    plain = attention.scale
    with tightrope.patched(model, newer) as report:
        assert attention.scale == pytest.approx(plain * rope.softmax_scale, rel=4 * 2.0**-24)
        assert rope.softmax_scale == pytest.approx(
            (0.1 * np.log(4) + 1) ** 2, rel=1e-12
        )  # DeepSeek-V3, mscale_all_dim 1
    assert attention.scale == plain
    assert {part.why for part in report.layers} == {"softmax scale mended"}


def test_a_softmax_scale_that_is_neither_is_a_doubt():
    newer = {key: value for key, value in fields("deepseek_v3").items() if key != "head_dim"} | {"rms_norm_eps": 1e-6}
    model = built({**newer, "rope_theta": 10_000.0, "rope_scaling": None})
    model.layers[1].self_attn.scale *= 1.5
    with pytest.raises(tightrope.RopeConfigError, match=r"scales attention by .*Nothing was changed"):
        tightrope.patch(model, newer)
    assert not isinstance(model.layers[0].self_attn.rope, MLXRope)


def test_an_indexer_keeps_its_own_layout():
    """DeepSeek-V3.2: attention pairs neighbours, the indexer channels half a head apart; the angles are the same."""
    config = {
        **{key: value for key, value in fields("deepseek_v3").items() if key != "head_dim"}, "rms_norm_eps": 1e-6,
        "model_type": "deepseek_v32", "index_head_dim": 16, "index_n_heads": 2, "index_topk": 8, "rope_theta": 1e4,
        "rope_scaling": None,
    }  # fmt: skip
    model = built(config)
    tightrope.patch(model, {**config, "rope_parameters": None})
    attention = model.layers[0].self_attn
    assert attention.rope.config.layout == "interleaved"
    assert attention.indexer.rope.config.layout == "half"


def test_a_family_that_turned_too_much_says_so():
    config = {"model_type": "glm", **SIZES, "rms_norm_eps": 1e-6, "rope_theta": 10_000.0}
    report = tightrope.patch(built(config), config)
    assert {(part.rope, part.why) for part in report.layers} == {
        ("default, base 10,000, 8 of 16 channels, interleaved", "rotated 16 channels before")
    }


@pytest.mark.parametrize(
    ("changes", "complete"),
    [
        ({}, True),
        ({"rope_theta": 10_000, "rope_scaling": None}, False),  # what mlx-lm falls back to, whatever the file said
    ],
    ids=["its own base", "mlx-lm's default base"],
)
def test_without_a_configuration_only_what_mlx_lm_cannot_have_dropped_is_trusted(changes, complete):
    model = built({**OLDER, **changes})
    if complete:
        assert "the configuration is what the model keeps of it" in tightrope.patch(model).notes
    else:
        with pytest.raises(tightrope.RopeConfigError, match=r"pass config= .*load_mlx.*Nothing was changed"):
            tightrope.patch(model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 3}, "the model has 2 layers, its configuration 3"),
        (
            {"model_type": "cohere", "layer_norm_eps": 1e-5},
            "pairs channels 'half', the configuration says 'interleaved'",
        ),
    ],
    ids=["layers", "layout"],
)
def test_a_configuration_of_another_model_is_a_doubt(llama, changes, message):
    with pytest.raises(tightrope.RopeConfigError, match=message):
        tightrope.patch(llama, {**OLDER, **changes})
    assert isinstance(llama.layers[0].self_attn.rope, nn.RoPE)


def test_a_peer_that_moved_its_ropes_is_named(llama):
    attention = llama.layers[1].self_attn
    attention.turner = attention.rope
    del attention.rope
    with pytest.raises(tightrope.RopeConfigError, match=r"layer 1 \(mlx_lm.models.llama\) has no rope module"):
        tightrope.patch(llama)
    assert isinstance(llama.layers[0].self_attn.rope, nn.RoPE)


def test_a_peer_that_moved_its_layers_is_named(llama, monkeypatch):
    monkeypatch.setattr(type(llama), "layers", None)
    with pytest.raises(tightrope.RopeConfigError, match=r"has no list of layers under .layers"):
        tightrope.patch(llama)


def test_attention_with_a_kernel_of_its_own_is_refused(llama, monkeypatch):
    def call(self, x, mask=None, cache=None):
        return qk_norm_rope(x)  # noqa: F821  # never called

    monkeypatch.setattr(type(llama.layers[0].self_attn), "__call__", call)
    with pytest.raises(tightrope.RopeConfigError, match=r"rotates in its own kernel \(qk_norm_rope\)"):
        tightrope.patch(llama)


def test_patching_twice(llama):
    tightrope.patch(llama)
    with pytest.raises(tightrope.RopeConfigError, match="patched already"):
        tightrope.patch(llama)


@pytest.mark.parametrize(
    ("rope", "expected"),
    [
        (nn.RoPE(8, traditional=False), ("half", 8)),
        (nn.RoPE(8, traditional=True), ("interleaved", 8)),
        (nn.RoPE(16, traditional=False), ("half", 16)),
        (nn.RoPE(16, traditional=True), ("interleaved", 16)),
    ],
    ids=["half", "pairs", "whole half", "whole pairs"],
)
def test_the_pairs_of_a_rope_are_found_by_turning_unit_vectors(rope, expected):
    assert pairing(rope, 16) == expected


def test_something_that_does_not_turn_is_no_rope():
    with pytest.raises(tightrope.RopeConfigError, match="does not rotate pairs of channels"):
        pairing(lambda x, offset: x, 16)
