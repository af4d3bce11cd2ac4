"""The built-in configurations of `tightrope parity`: what bears on position in those of published models.

Both spellings, every rope type in use, partial and tail rotation, both layouts, several ropes, several position axes.
"""

from typing import Any, Final

# What the figures in the documentation are measured on: the base of Llama 3, without its scaling.
LLAMA_3: Final[dict[str, Any]] = {
    "model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 32,
    "max_position_embeddings": 8192, "rope_theta": 500000.0,
}  # fmt: skip

GALLERY: Final[dict[str, dict[str, Any]]] = {
    "mistral-7b-v0.3": {
        "model_type": "mistral", "hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 32,
        "max_position_embeddings": 32768, "rope_theta": 1000000.0,
    },
    "llama-3.1-8b": {
        "model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 32,
        "max_position_embeddings": 131072, "rope_theta": 500000.0,
        "rope_scaling": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    },
    # Its slowest pair rotates once in 4e11 tokens.
    "falcon-h1-7b": {
        "model_type": "falcon_h1", "hidden_size": 3072, "num_attention_heads": 12, "head_dim": 128,
        "num_hidden_layers": 44, "max_position_embeddings": 262144, "rope_theta": 100000000000.0,
    },
    # As its model card tells a user to extend it.
    "qwen2.5-7b-yarn": {
        "model_type": "qwen2", "hidden_size": 3584, "num_attention_heads": 28, "num_hidden_layers": 28,
        "max_position_embeddings": 131072,
        "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0, "original_max_position_embeddings": 32768,
        },
    },
    "phi-4-mini-longrope": {
        "model_type": "phi3", "hidden_size": 3072, "num_attention_heads": 24, "num_hidden_layers": 32,
        "max_position_embeddings": 131072, "original_max_position_embeddings": 4096,
        "partial_rotary_factor": 0.75, "rope_theta": 10000.0,
        "rope_scaling": {
            "type": "longrope",
            "short_factor": [1.0] * 48,
            "long_factor": [
                1, 1.118320672, 1.250641126, 1.398617824, 1.564103225, 1.74916897, 1.956131817, 2.187582649,
                2.446418898, 2.735880826, 3.059592084, 3.421605075, 3.826451687, 4.279200023, 4.785517845, 5.351743533,
                5.984965424, 6.693110555, 7.485043894, 8.370679318, 9.36110372, 10.4687158, 11.70738129, 13.09260651,
                14.64173252, 16.37415215, 18.31155283, 20.47818807, 22.90118105, 25.61086418, 28.64115884, 32.03,
                32.1, 32.13, 32.23, 32.6, 32.61, 32.64, 32.66, 32.7, 32.71, 32.93, 32.97, 33.28, 33.49, 33.5, 44.16,
                47.77,
            ],
        },
    },
    "llama-2-7b-dynamic-ntk": {
        "model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 32,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
    },
    "gemma-3-4b": {
        "model_type": "gemma3_text", "hidden_size": 2560, "num_attention_heads": 8, "head_dim": 256,
        "num_hidden_layers": 34, "max_position_embeddings": 131072, "sliding_window_pattern": 6,
        "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    },
    "deepseek-v3": {
        "model_type": "deepseek_v3", "hidden_size": 7168, "num_attention_heads": 128, "num_hidden_layers": 61,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "max_position_embeddings": 163840, "rope_theta": 10000,
        "rope_scaling": {
            "type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
            "mscale": 1.0, "mscale_all_dim": 1.0,
        },
    },
    "gpt-oss-20b": {
        "model_type": "gpt_oss", "hidden_size": 2880, "num_attention_heads": 64, "head_dim": 64,
        "num_hidden_layers": 24, "max_position_embeddings": 131072, "rope_theta": 150000,
        "rope_scaling": {
            "rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "beta_fast": 32.0,
            "beta_slow": 1.0, "truncate": False,
        },
    },
    "glm-4-9b-0414": {
        "model_type": "glm4", "hidden_size": 4096, "num_attention_heads": 32, "head_dim": 128, "num_hidden_layers": 40,
        "max_position_embeddings": 32768, "partial_rotary_factor": 0.5, "rope_theta": 10000.0,
    },
    "pythia-12b": {
        "model_type": "gpt_neox", "hidden_size": 5120, "num_attention_heads": 40, "num_hidden_layers": 36,
        "max_position_embeddings": 2048, "rotary_pct": 0.25, "rotary_emb_base": 10000,
    },
    "qwen2-vl-7b": {
        "model_type": "qwen2_vl", "hidden_size": 3584, "num_attention_heads": 28, "num_hidden_layers": 28,
        "max_position_embeddings": 32768, "rope_theta": 1000000.0,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    },
    "qwen3-vl-4b": {
        "model_type": "qwen3_vl_text", "hidden_size": 2560, "num_attention_heads": 32, "head_dim": 128,
        "num_hidden_layers": 36, "max_position_embeddings": 262144,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 5000000, "mrope_section": [24, 20, 20], "mrope_interleaved": True,
        },
    },
    "gemma-4-26b-a4b": {
        "model_type": "gemma4_text", "hidden_size": 2816, "num_attention_heads": 16, "head_dim": 256,
        "global_head_dim": 512, "num_hidden_layers": 30, "max_position_embeddings": 262144,
        "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 5,
        "rope_parameters": {
            "full_attention": {"rope_type": "proportional", "rope_theta": 1000000.0, "partial_rotary_factor": 0.25},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
    },
    "gemma-4-e2b-vision": {
        "model_type": "gemma4_vision", "hidden_size": 768, "num_attention_heads": 12, "head_dim": 64,
        "num_hidden_layers": 16, "max_position_embeddings": 131072, "patch_size": 16,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100.0},
    },
    "ministral-3-8b-vision": {
        "model_type": "pixtral", "hidden_size": 1024, "num_attention_heads": 16, "head_dim": 64,
        "num_hidden_layers": 24, "patch_size": 14,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    },
}  # fmt: skip
