"""Attention temperature is the same on every backend, and the one that the models' own code computes."""

import numpy as np
import pytest

import tightrope
from tightrope import RopeConfigError

POSITIONS = np.array([[0, 1, 8190, 8191, 8192, 16383, 131071, 1_048_575], [-3, -1, 0, 5, 6, 7, 8, 9]])
SHAPE = {"hidden_size": 256, "num_attention_heads": 4, "num_hidden_layers": 4, "head_dim": 64}
LLAMA4 = {"model_type": "llama4_text", **SHAPE}
MINISTRAL = {
    "model_type": "ministral3",
    **SHAPE,
    "rope_parameters": {
        "rope_type": "yarn",
        "rope_theta": 1e6,
        "factor": 16.0,
        "original_max_position_embeddings": 16384,
        "llama_4_scaling_beta": 0.1,
    },
}
# float32: the quotient is exact, then a logarithm (2 ulp), a product and a sum; the result is at least the summands.
ROUNDING = 4 * 2.0**-23


def scales(backend, config, positions, layer_type=None, cast=None):
    rope = backend.RotaryEmbedding(tightrope.read(config))
    return rope.query_scale(positions if cast is None else cast(positions), layer_type)


def close(found, expected):
    return np.all(np.abs(np.asarray(found, np.float64) - expected) <= ROUNDING * expected)


@pytest.mark.parametrize("config", [LLAMA4, MINISTRAL], ids=["llama4", "ministral3"])
def test_every_backend_gives_the_definition(backend, config):
    found = scales(backend, config, POSITIONS)
    assert "float32" in str(found.dtype)
    assert tuple(found.shape) == POSITIONS.shape
    assert close(found, tightrope.read(config).query_scale(POSITIONS))


def test_a_layer_with_position_of_llama_4_keeps_its_query(backend):
    assert np.array_equal(np.asarray(scales(backend, LLAMA4, POSITIONS, "default")), np.ones(POSITIONS.shape))


def test_a_family_without_temperature_has_ones(backend):
    found = scales(backend, {"model_type": "llama", **SHAPE}, POSITIONS)
    assert np.array_equal(np.asarray(found), np.ones(POSITIONS.shape))


def test_a_power_is_one_on_every_backend(backend):
    model = tightrope.read({"model_type": "beam", **SHAPE})
    found = backend.RotaryEmbedding(model).query_scale(POSITIONS, None)
    assert close(found, model.query_scale(POSITIONS, None))


def test_positions_that_are_not_integers_are_refused(backend):
    with pytest.raises(RopeConfigError, match="positions must be of an integer dtype"):
        scales(backend, LLAMA4, POSITIONS.astype(np.float32))


@pytest.mark.backend("torch")
def test_ministral_is_scaled_as_transformers_scales_it():
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("transformers.models.ministral3.modeling_ministral3")
    positions = torch.tensor(POSITIONS[:1])
    expected = modeling.get_llama_4_attn_scale(positions, 0.1, 16384)[:, 0, :, 0].double().numpy()
    assert close(scales(tightrope.load_backend("torch"), MINISTRAL, positions), expected)


@pytest.mark.backend("torch")
def test_llama_4_is_scaled_as_transformers_scales_it():
    """Its attention multiplies the projected query, here of ones, and counts the positions itself, from 0."""
    torch = pytest.importorskip("torch")
    modeling = pytest.importorskip("transformers.models.llama4.modeling_llama4")
    config = modeling.Llama4TextConfig(
        hidden_size=64,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=64,
        num_hidden_layers=4,
        use_qk_norm=False,
        floor_scale=4,
    )
    config._attn_implementation = "spy"
    seen = []

    def spy(module, query, key, value, mask, **kwargs):
        seen.append(query)
        return torch.zeros_like(query).transpose(1, 2), None

    attention = modeling.Llama4TextAttention(config, 3)
    torch.nn.init.eye_(attention.q_proj.weight)
    positions = torch.arange(64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(modeling.ALL_ATTENTION_FUNCTIONS, "spy", spy)
        attention(torch.ones(1, len(positions), 64), None, None)
    expected = seen[0][0, 0, :, 0].detach().double().numpy()
    assert close(scales(tightrope.load_backend("torch"), {**LLAMA4, "floor_scale": 4}, positions), expected)
