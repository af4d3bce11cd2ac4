"""Families that transformers does not have rotate as mlx-lm's own models do: its rope objects, layer by layer."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mlx_lm")

import tightrope
from tightrope.rope import reference
from tightrope.rope.reading.families.elsewhere import ELSEWHERE
from tightrope.rope.reading.families.parts import OTHER_POSITIONS

pytestmark = pytest.mark.backend("mlx")

PLAIN = {
    "hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 4, "num_hidden_layers": 4,
    "max_position_embeddings": 8192,
}  # fmt: skip
HEAD = {**PLAIN, "head_dim": 64}
MLA = {
    **PLAIN, "qk_nope_head_dim": 32, "qk_rope_head_dim": 32, "v_head_dim": 32, "kv_lora_rank": 64, "q_lora_rank": 64,
}  # fmt: skip
THETA = {"rope_theta": 20_000.0}
LINEAR = {"rope_scaling": {"rope_type": "linear", "type": "linear", "factor": 4.0}}
YARN = {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048}}
MIXED = {"layer_types": ["sliding_attention", "full_attention"] * 2}
NESTED = {
    "full_attention": {"rope_type": "default", "rope_theta": 2e6, "partial_rotary_factor": 0.5},
    "sliding_attention": {"rope_type": "default", "rope_theta": 2e4, "partial_rotary_factor": 1.0},
}

# Configurations in each family's own words, as its files are written.
CASES = {
    "Klear": {**PLAIN, **THETA},
    "afm7": {"hidden_dim": 256, "num_heads": 4, "num_kv_heads": 4, "num_layers": 4, "num_kv_reuse_layers": 0, **THETA},
    "baichuan_m1": {**PLAIN, **THETA, "conv_window": 2, "sliding_window": 128, "sliding_window_layers": [1]},
    "bailing_moe": {**HEAD, **THETA},
    "bailing_moe, some of the head": {**HEAD, **THETA, "rotary_dim": 32},
    "bailing_moe_linear": {**HEAD, **THETA, "partial_rotary_factor": 0.5},
    "bailing_moe_v3": {**MLA, **THETA, "layer_group_size": 2},
    "deepseek": {**PLAIN, **THETA, **LINEAR},
    "deepseek_v41": {**MLA, **THETA, "head_dim": 64, "compress_ratios": [0, 4, 0, 4], **YARN},
    "deepseek_v41_text": {**MLA, **THETA, "head_dim": 64, "compress_ratios": [0, 4, 0, 4]},
    "exaone": {**PLAIN, "num_layers": 4, **THETA, **LINEAR},
    "gear": {**HEAD, **MIXED, "rope_theta": 2e6, "rope_local_base_freq": 2e4},
    "hunyuan": {**PLAIN, **THETA, "rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0}},
    "internlm2": {**PLAIN, **THETA},
    "iquestloopcoder": {**HEAD, **YARN},
    "joyai_llm_flash": {**MLA, **THETA},
    "kimi_k2": {**MLA, **THETA},
    "kimi_vl": {"text_config": {"model_type": "deepseek_v3", **MLA, **THETA}},
    "lille-130m": {"n_embd": 256, "n_head": 4, "n_kv_heads": 4, "n_layer": 4, "vocab_size": 8, **THETA},
    "longcat_flash_ngram": {**MLA, **THETA, "num_layers": 2},
    "mimo": {**PLAIN, **THETA},
    "minicpm": {**PLAIN, **THETA},
    "nanbeige": {**PLAIN, **THETA},
    "nemotron-nas": {
        **PLAIN, **THETA, "block_configs": [{
            "attention": {"n_heads_in_group": 1, "no_op": False, "replace_with_linear": False},
            "ffn": {"ffn_mult": 1.0, "no_op": False, "replace_with_linear": False},
        }] * 4,
    },
    "openelm": {
        "model_dim": 256, "head_dim": 64, "num_query_heads": [4] * 4, "num_kv_heads": [4] * 4, "ffn_dim_divisor": 8,
        "num_transformer_layers": 4, "ffn_multipliers": [1.0] * 4, "rope_freq_constant": 20_000,
    },
    "phi-msft": {"model_dim": 256, "num_heads": 4, "num_layers": 4, "rotary_dim": 32},
    "phi3small": {
        **PLAIN, "dense_attention_every_n_layers": 2, "rope_embedding_base": 2e6, "rope_position_scale": 0.25,
    },
    "phixtral": {"model_dim": 256, "num_heads": 4, "num_layers": 4, "rotary_dim": 32},
    "plamo": {**PLAIN},
    "plamo2": {**PLAIN, "hidden_size_per_head": 64},
    "plamo3": {**HEAD, "rope_theta": 2e6, "rope_local_theta": 2e4, "window_size": 128, "sliding_window_pattern": 2},
    "qwen": {**PLAIN, "kv_channels": 64},
    "spark2_5": {**HEAD, **MIXED, "rope_parameters": NESTED},
    "step3p5": {
        **HEAD, **MIXED, "rope_theta": [2e4, 2e6] * 2, "partial_rotary_factors": [1.0, 0.5] * 2,
        "rope_scaling": {**YARN["rope_scaling"]}, "yarn_only_types": ["full_attention"],
    },
    "telechat3": {**PLAIN, **THETA, "rope_scaling": {**YARN["rope_scaling"], "type": "telechat3-yarn"}},
    "xverse": {**PLAIN, **THETA},
    "youtu_llm": {**MLA, **THETA},
}  # fmt: skip

UNDRIVEN = {"talkie"}  # it rotates in a function of its own

OFFSETS = (0, 100, 4000, 32_768, 131_072)


@pytest.fixture(scope="module")
def peer():
    from tightrope.verify.audit import peer_mlx_lm as mlx_lm_peer

    return mlx_lm_peer


def allowed(rope, positions):
    """What float32 costs mlx-lm, per pair in units of its norm: inv_freq is exp2(−x), x up to log2(base).

    x has two roundings, which count ln 2 · x each, exp2 and the product with the position one each; cos and sin 1e-6.
    """
    rotated = np.abs(tightrope.frequencies(rope, int(positions.max()) + 1).inv_freq * positions[:, None])
    return 1e-6 + 2.0**-24 * (3 + 2 * np.log(rope.base)) * rotated


@pytest.mark.parametrize("name", CASES)
def test_every_layer_turns_as_in_mlx_lm(peer, name):
    config = {"model_type": name.partition(",")[0], **CASES[name]}
    model = tightrope.read(config)
    theirs = peer.build(config, model)
    rotated = [index for index, key in enumerate(model.layers) if key is not None]
    attentions = len(model.layers) // len(theirs.model.layers)  # LongCat's layers have two
    assert rotated
    for index in rotated:
        rope = model.for_layer(index)
        width = rope.rotary_dim if rope.side == "tail" else rope.head_dim
        x = np.random.default_rng(index).standard_normal((1, 1, 8, width), dtype=np.float32)
        for offset in OFFSETS:
            positions = np.arange(offset, offset + 8)
            cos, sin = (part[:, None] for part in reference.cos_sin(rope, positions[None], seq_len=offset + 8))
            expected = theirs.rotate(index // attentions, x, offset)
            found = reference.rotate(x, cos, sin, layout=rope.layout, side=rope.side)
            first, second = reference.pair_slices(width, rope.pairs, rope.layout, rope.side)
            norm = np.hypot(x[..., first], x[..., second])
            off = np.maximum(*(np.abs(found - expected)[..., part] / norm for part in (first, second)))
            assert (off <= allowed(rope, positions)).all(), (index, offset)


def model_types():
    """Every model_type that mlx-lm reads: its model files, and the names that it takes for them."""
    folder = Path(import_module("mlx_lm.models").__path__[0])
    files = [file.stem for file in folder.glob("*.py") if "class ModelArgs" in file.read_text("utf-8")]
    return [*files, *import_module("mlx_lm.utils").MODEL_REMAPPING]


def test_every_model_type_of_mlx_lm_is_known():
    wide = {**PLAIN, "head_dim": 128}
    notes = {name: tightrope.read({"model_type": name, **wide}).notes for name in model_types()}
    assert [name for name in notes if any("unknown model_type" in note for note in notes[name])] == []


def test_every_family_that_only_mlx_lm_has_is_driven_or_named_with_its_reason():
    only = set(model_types()) & ELSEWHERE.keys()
    without = {name for name in only if ELSEWHERE[name].without is OTHER_POSITIONS}
    named = {name.partition(",")[0] for name in CASES}
    assert only - without - named == UNDRIVEN
