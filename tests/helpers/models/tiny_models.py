"""Tiny models with random weights, one per architecture that both transformers and mlx-lm have.

Sizes are the smallest that still tell architectures apart: two to four layers, more query heads than key heads, a base
and a scaling that are not mlx-lm's defaults, sliding windows shorter than the prompts where the family has them.
"""

import json
from pathlib import Path
from typing import Any

SIZES: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 131_072,
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}
MLA = {"q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16}

# model_type → what config.json has beside SIZES; None takes a key out.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {"rope_parameters": {"rope_type": "default", "rope_theta": 250_000.0}},
    "llama3.1": {
        "model_type": "llama",
        "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 500_000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
        },
    },
    "qwen2": {"rope_parameters": {"rope_theta": 1e6, **YARN}},
    "qwen3": {"rope_parameters": {"rope_type": "default", "rope_theta": 5e6}},
    "gemma2": {"rope_parameters": {"rope_type": "default", "rope_theta": 20_000.0}, "sliding_window": 4096,
               "query_pre_attn_scalar": 16, "tie_word_embeddings": True},
    "gemma3_text": {
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 12_000.0},
        },
        "layer_types": ["sliding_attention", "full_attention"] * 2, "num_hidden_layers": 4, "sliding_window": 16,
        "_sliding_window_pattern": 2, "sliding_window_pattern": 2, "query_pre_attn_scalar": 16,
    },
    "phi3": {
        "head_dim": None,
        "original_max_position_embeddings": 4096,
        "rope_parameters": {
            "rope_type": "longrope", "rope_theta": 10_000.0, "original_max_position_embeddings": 4096,
            "short_factor": [1.0 + 0.05 * i for i in range(8)], "long_factor": [1.0 + 4.0 * i for i in range(8)],
        },
    },
    "glm4": {"rope_parameters": {"rope_type": "default", "rope_theta": 50_000.0, "partial_rotary_factor": 0.5}},
    "deepseek_v3": {
        **MLA, "head_dim": None, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
        "n_shared_experts": 1, "moe_intermediate_size": 32, "first_k_dense_replace": 1, "num_key_value_heads": 4,
        "rope_parameters": {**YARN, "rope_theta": 10_000.0, "mscale": 1.0, "mscale_all_dim": 1.0},
    },
    "gpt_oss": {
        "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16,
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 150_000.0, "factor": 32.0, "truncate": False,
                            "beta_fast": 32.0, "beta_slow": 1.0, "original_max_position_embeddings": 4096},
    },
    "cohere2": {"rope_parameters": {"rope_type": "default", "rope_theta": 80_000.0}, "num_hidden_layers": 4,
                "sliding_window": 16, "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
                "sliding_window_pattern": 4, "tie_word_embeddings": True},
    "qwen3_moe": {"rope_parameters": {"rope_theta": 1e6, **YARN}, "num_experts": 4, "num_experts_per_tok": 2,
                  "moe_intermediate_size": 32, "decoder_sparse_step": 1, "norm_topk_prob": True, "mlp_only_layers": []},
    "mixtral": {"rope_parameters": {"rope_theta": 1e6, **YARN}, "num_local_experts": 4, "num_experts_per_tok": 2},
    "smollm3": {"rope_parameters": {"rope_type": "default", "rope_theta": 5e6}, "num_hidden_layers": 4,
                "no_rope_layers": [1, 1, 1, 0], "no_rope_layer_interval": 4},
    "olmo2": {"rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0}},
    "stablelm": {"rope_parameters": {"rope_type": "default", "rope_theta": 70_000.0, "partial_rotary_factor": 0.25}},
}  # fmt: skip


def fields(name: str) -> dict[str, Any]:
    """Return the fields of an architecture's configuration."""
    values = {"model_type": name, **SIZES, **ARCHITECTURES[name]}
    return {key: value for key, value in values.items() if key == "eos_token_id" or value is not None}


def build(name: str) -> Any:
    """Return a transformers model, its weights drawn from seed 0, large enough that attention is far from even."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    values = fields(name)
    torch.manual_seed(0)
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", experts_implementation="eager").eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.requires_grad_(False)


def save(model: Any, folder: Path) -> None:
    """Save a model as a user would, with the tokenizer without which mlx-lm loads nothing."""
    model.save_pretrained(folder)
    save_tokenizer(folder)
    if model.config.model_type == "gpt_oss":
        _as_mlx_lm_converts(folder)
    if model.config.model_type == "qwen3_moe":  # transformers 5.23 renames a key that mlx-lm 0.32 reads
        path = folder / "config.json"
        config = json.loads(path.read_text())
        path.write_text(json.dumps({**config, "num_experts": config["num_local_experts"]}))


def save_tokenizer(folder: Path) -> None:
    """Save a tokenizer with a word for each token."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    words = {f"<{token}>": token for token in range(SIZES["vocab_size"])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<0>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)


def _as_mlx_lm_converts(folder: Path) -> None:
    """Rewrite the experts of gpt-oss, which mlx-lm reads only as published (MXFP4) or in its own layout."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    for key in [key for key in weights if ".experts." in key]:
        value = weights.pop(key)
        kind = "bias" if key.endswith("_bias") else "weight"
        stem = key.removesuffix("_bias")
        value = value if kind == "bias" else value.transpose(1, 2)
        if "gate_up_proj" in key:
            # Rows of gate and up alternate.
            parts = {"gate_proj": value[:, ::2], "up_proj": value[:, 1::2]}
        else:
            parts = {"down_proj": value}
        for name, part in parts.items():
            weights[f"{stem.rpartition('.')[0]}.{name}.{kind}"] = part.contiguous()
    save_file(weights, path, metadata={"format": "pt"})
