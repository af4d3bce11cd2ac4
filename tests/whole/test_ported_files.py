"""Modeling files of transformers' 4.x style run on Tightrope by one import line, and on MLX by array calls alone."""

import numpy as np
import pytest

import ported

transformers = pytest.importorskip("transformers")

SHAPE = {"hidden_size": ported.HIDDEN, "num_attention_heads": ported.HEADS, "num_hidden_layers": 1}
PAIRS = ported.HIDDEN // ported.HEADS // 2
TOKENS = np.random.default_rng(1).integers(0, ported.VOCABULARY, (2, 6))
# Logits reach 128 and are sums of 64 products, each rounded to float32.
ROUNDING = 128 * 64 * 2.0**-24


def config(cls, block, **fields):
    return cls(**SHAPE, **fields, rope_parameters={"rope_theta": 10_000.0, **block})


def llama(block):
    return config(transformers.LlamaConfig, block, max_position_embeddings=32)


def lines(*starts):
    return [np.stack([np.arange(6) + start] * 2) for start in starts]


LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0] * (PAIRS // 2),
    "long_factor": [1.5 + i for i in range(PAIRS // 2)],
    "original_max_position_embeddings": 32,
}
PHI3 = config(
    transformers.Phi3Config, LONG, partial_rotary_factor=0.5, max_position_embeddings=128,
    original_max_position_embeddings=32, pad_token_id=0,
)  # fmt: skip
SECTIONS = {"rope_type": "linear", "factor": 2.0, "mrope_section": [2, 3, 3]}
QWEN2_VL = config(transformers.Qwen2VLTextConfig, SECTIONS, max_position_embeddings=64)
GRID = [np.random.default_rng(2).integers(0, 64, (3, 2, 6))]

CASES = {
    "llama3": ("llama", llama({"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                               "original_max_position_embeddings": 32}), lines(0, 80)),
    "dynamic": ("llama", llama({"rope_type": "dynamic", "factor": 2.0}), lines(0, 80, 40, 3)),
    "longrope": ("phi3", PHI3, lines(0, 26, 60, 0)),
    "mrope": ("qwen2_vl", QWEN2_VL, GRID),
}  # fmt: skip


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    return request.param


@pytest.mark.backend("torch")
def test_one_import_line_moves_a_file_to_tightrope(case):
    name, config, positions = case
    calls = [TOKENS] * len(positions)
    expected = ported.run(name, config, calls, positions)
    found = ported.run(name, config, calls, positions, "tightrope.backends.torch.rope_utils")
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)


@pytest.mark.backend("torch", "mlx")
def test_array_calls_alone_move_a_file_to_mlx(case):
    name, config, positions = case
    calls = [TOKENS] * len(positions)
    expected = ported.run(name, config, calls, positions)
    found = ported.run(f"{name}_mlx", config, calls, positions)
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)


@pytest.mark.backend("torch")
def test_the_longer_table_is_seen_in_the_logits():
    """The comparison would notice a file that always takes one table."""
    short, _, long, again = ported.run("phi3", PHI3, [TOKENS] * 4, lines(0, 26, 60, 0))
    np.testing.assert_array_equal(short, again)
    assert np.abs(short - long).max() > 1000 * ROUNDING


@pytest.mark.backend("mlx")
def test_what_the_decorator_sets_is_no_parameter():
    pytest.importorskip("mlx.core")
    name, config, positions = CASES["dynamic"]
    model = ported.load(f"{name}_mlx").Decoder(config, ported.weights())
    model.logits(TOKENS, positions[1])
    assert model.rotary_emb.parameters() == {}
