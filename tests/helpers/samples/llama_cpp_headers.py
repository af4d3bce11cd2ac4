"""Headers of every architecture that llama.cpp and Tightrope both know: what its loader requires, and no more."""

from tightrope.rope.reading.gguf.file import GgufFile

PLAIN = {
    "block_count": 8,
    "context_length": 32768,
    "attention.key_length": 64,
    "attention.value_length": 64,
    "rope.freq_base": 5e5,
    "attention.sliding_window": 64,
}
_LATENT = {
    "attention.key_length": 576,
    "attention.value_length": 512,
    "rope.dimension_count": 64,
    "attention.key_length_mla": 192,
    "attention.value_length_mla": 128,
    "attention.kv_lora_rank": 512,
    "attention.head_count_kv": 1,
}
_SMALL_LATENT = {
    "attention.key_length": 96,
    "attention.value_length": 64,
    "rope.dimension_count": 32,
    "attention.kv_lora_rank": 64,
}
_STATED = {"attention.sliding_window_pattern": [True, True, False, True] * 2}
_HYBRID = {"attention.head_count_kv": [2, 0, 2, 0] * 2}
_SECTIONS = {"rope.dimension_sections": [11, 11, 10, 0]}

# What an architecture needs beyond PLAIN.
OWN = {
    **dict.fromkeys(("deepseek2", "deepseek32", "glm-dsa", "mistral4"), _LATENT),
    **dict.fromkeys(("minicpm3", "plm"), _SMALL_LATENT),
    **dict.fromkeys(("maple", "mimo2", "spark2_5", "step35"), _STATED),
    **dict.fromkeys(("granitehybrid", "lfm2", "lfm2moe", "plamo2"), _HYBRID),
    **dict.fromkeys(
        ("qwen2vl", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen4exp", "paddleocr", "clef", "qwen3tts"),
        _SECTIONS,
    ),
    "baichuan": {"block_count": 32},
    "bailingmoe3": {**_LATENT, "attention.head_count_kv": [0, 0, 0, 1] * 2},
    "deepseek2-ocr": {"rope.freq_base": 1e4},
    "dots3note": {
        **_LATENT,
        **_STATED,
        "attention.key_length_mla_swa": 128,
        "attention.value_length_mla_swa": 64,
        "attention.key_length_swa": 320,
        "attention.value_length_swa": 256,
        "attention.kv_lora_rank_swa": 256,
        "attention.indexer.key_length": 128,
        "attention.indexer.types": [False, False, True, False] * 2,
        "rope.freq_base_swa": 2e4,
    },
    "hy_v4": {**_LATENT, "attention.indexer.key_length": 128, "attention.indexer.types": [True, False] * 4},
    "gemma3n": {"block_count": 22},
    "gemma4": {**_STATED, "attention.key_length_swa": 64, "attention.value_length_swa": 64},
    "graniteswitch": {
        "adapters.count": 1,
        "adapters.lora_rank": 4,
        "adapters.token_ids_activate": [1],
        "adapters.token_ids_substitute": [1],
    },
    "granite_swa": {**_STATED, "attention.rope_pattern": [True, False, True, True] * 2},
    "hrm_text": {"block_count": 4, "hrm.layers_per_stack": 2, "hrm.h_cycles": 1, "hrm.l_cycles": 1},
    "minimax-01": {"residual_scale": 1.0},
    "minimax-m3": {"attention.indexer.block_size": 16, "attention.indexer.local_blocks": 1},
}
OWN["maple"] = {**_STATED, "swiglu_clamp_exp": [7.0] * 8}
OWN["qwen4exp"] = {**_SECTIONS, "hyper_connection.count": 4, "hyper_connection.low_rank": 8}


def header(architecture, keys=None, divisors=None):
    """Return the content of a header; a value None takes a key away."""
    values = {**PLAIN, **OWN.get(architecture, {}), **(keys or {})}
    return GgufFile(architecture, {key: value for key, value in values.items() if value is not None}, divisors or {})
