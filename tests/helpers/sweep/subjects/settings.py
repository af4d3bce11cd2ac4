"""What the source of transformers does not show: configurations that can run, and who does not rotate by token.

Everything here is a fact about transformers, none about Tightrope.
"""

SWITCHED_ON = "switched-on"
# transformers' Llama passes no channels through, but its scaled types make fewer angles: it cannot run both.
WITHOUT_ROPE_TYPES = "partial"
MIXED = ["sliding_attention", "full_attention"] * 2
DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 1e4}

# Families with rotary code that rotate no query or key by its token's position.
NOT_A_ROTATION = {
    "esmfold2": "turns atoms by their coordinates in space, not tokens by their position",
    "lightglue": "angles come from a learned projection of keypoints, not from the configuration",
    "neucodec": "rotates by the index of the head, not of the token",
    "pp_doclayout_v2": "frequencies of a bias between boxes; nothing is rotated",
    "vjepa2": "repeats angles half by half but pairs neighbouring channels: norms change",
    "xcodec2": "rotates by the index of the head, not of the token",
}
BEFORE_PROJECTION = {
    "musicflamingo": "rotates audio features by timestamps in float64, before a projection",
    "seamless_m4t": "rotates hidden states before the query and key projections",
    "wav2vec2_bert": "rotates hidden states before the query and key projections",
    "wav2vec2_conformer": "rotates hidden states before the query and key projections",
}
NEVER_APPLIED = {
    "jamba": "defines apply_rotary_pos_emb and never calls it",
    "nemotron_asr_streaming": "defines apply_rotary_pos_emb and never calls it",
    "nemotron_h": "defines apply_rotary_pos_emb and never calls it",
    "parakeet": "defines apply_rotary_pos_emb and never calls it",
}
NOT_ROTATED = NOT_A_ROTATION | BEFORE_PROJECTION | NEVER_APPLIED

# Where the class that builds the rotary module is annotated with another configuration than the one it is given.
CONFIGS = {
    "t5gemma/T5GemmaRotaryEmbedding": ("T5GemmaModuleConfig",),
    "diffusion_gemma/DiffusionGemmaTextRotaryEmbedding": ("DiffusionGemmaTextConfig",),
    "esmfold2/EsmFold2RotaryEmbedding": ("EsmFold2AtomEncoderConfig",),
}

# Keyword arguments of a configuration class, by its name: {label: kwargs}. "default" (none) is always tried too.
# Some defaults cannot run their own rotary module; some keep a rope, a layer type or a layout switched off.
CONFIGURATIONS = {
    # the default has one layer type only
    "LagunaConfig": {"mixed": {"layer_types": MIXED, "num_hidden_layers": 4}},
    "MellumConfig": {"mixed": {"layer_types": MIXED, "num_hidden_layers": 4}},
    "ZayaConfig": {
        "mixed": {"layer_types": ["hybrid", "hybrid_sliding"] * 2, "num_hidden_layers": 4, "sliding_window": 4096}
    },
    "Step3p7TextConfig": {
        "mixed": {
            "layer_types": MIXED,
            "num_hidden_layers": 4,
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 5e6, "partial_rotary_factor": 0.5},
                "sliding_attention": {**DEFAULT_ROPE, "partial_rotary_factor": 1.0},
            },
        }
    },
    "CohereCompassTextConfig": {
        "mixed": {
            "layer_types": MIXED,
            "num_hidden_layers": 4,
            "rope_parameters": {
                "sliding_attention": {**DEFAULT_ROPE, "mrope_section": [24, 20, 20]},
                "full_attention": None,
            },
        }
    },
    # the default's mrope_section does not fit its head_dim
    "Glm4vTextConfig": {"half": {"partial_rotary_factor": 0.5}},
    "GlmImageTextConfig": {"half": {"partial_rotary_factor": 0.5}},
    "Glm4vMoeTextConfig": {"head128": {"head_dim": 128}},
    "Qwen3OmniMoeTextConfig": {"head128": {"head_dim": 128}},
    "HunYuanVLTextConfig": {
        "axes4": {"head_dim": 128, "rope_parameters": {**DEFAULT_ROPE, "mrope_section": [16, 16, 16, 16]}},
        "axes3": {"head_dim": 128, "rope_parameters": {**DEFAULT_ROPE, "mrope_section": [16, 24, 24]}},
    },
    # an odd number of rotated channels, or head_dim null, which dynamic, yarn and longrope multiply with a number
    "Glm4MoeConfig": {"head128": {"head_dim": 128}},
    "MiniMaxConfig": {"head128": {"head_dim": 128}},
    "MinistralConfig": {"head128": {"head_dim": 128}},
    "MixtralConfig": {"head128": {"head_dim": 128}},
    "HunYuanDenseV1Config": {"head128": {"head_dim": 128}},
    "HunYuanMoEV1Config": {"head128": {"head_dim": 128}},
    # the default leaves the rope out
    "Zamba2Config": {SWITCHED_ON: {"use_mem_rope": True}},
    "GraniteMoeHybridConfig": {SWITCHED_ON: {"position_embedding_type": "rope"}},
    "EsmConfig": {SWITCHED_ON: {"position_embedding_type": "rotary"}},
    # bases by layer, 0 for none
    "GraniteSWAConfig": {
        "bases": {"num_hidden_layers": 4, "layer_types": MIXED, "layer_rope_theta": [1e4, 0, 5e5, 0]}
    },
    "GraniteMoeSWAConfig": {
        "bases": {"num_hidden_layers": 4, "layer_types": MIXED, "layer_rope_theta": [1e4, 0, 5e5, 0]}
    },
    "Molmo2TextConfig": {
        "scaled": {
            "num_hidden_layers": 4,
            "rope_scaling_layers": [1, 3],
            "rope_parameters": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        }
    },
    # both layouts
    "AXK1Config": {"half": {"rope_interleave": False}},
    "DeepseekV3Config": {"half": {"rope_interleave": False}},
    "Glm4MoeLiteConfig": {"half": {"rope_interleave": False}},
    "Mistral4Config": {"half": {"rope_interleave": False}},
    "YoutuConfig": {"half": {"rope_interleave": False}},
    # partial rotation and other realistic values
    "LlamaConfig": {"partial": {"partial_rotary_factor": 0.5}},
    "Phi3Config": {"partial": {"partial_rotary_factor": 0.75}},
    "MiniMaxM2Config": {"rotary_dim": {"rotary_dim": 64}},
    "GPTNeoXConfig": {"whole": {"rotary_pct": 1.0, "rotary_emb_base": 25000.0}},
    "GPTJConfig": {"rotary_dim": {"rotary_dim": 32}},
    "Qwen3_5TextConfig": {
        "sections": {
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 1e7, "partial_rotary_factor": 0.25, "mrope_section": [11, 11, 10],
            }
        }
    },
    "Qwen3VLTextConfig": {
        "sections": {"rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20]}}
    },
    "Qwen2VLTextConfig": {
        "sections": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [24, 16, 24]}}
    },
    "DeepseekV4Config": {
        "yarn": {
            "rope_parameters": {
                "rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 65536,
                "beta_fast": 32, "beta_slow": 1,
            }
        }
    },
    "Gemma3TextConfig": {
        "linear": {
            "rope_parameters": {
                "sliding_attention": DEFAULT_ROPE,
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            }
        }
    },
    # towers: heads as published models have them, other bases
    "Qwen2_5_VLVisionConfig": {"published": {"hidden_size": 1280}},
    "PixtralVisionConfig": {"base": {"rope_parameters": {"rope_type": "axial", "rope_theta": 5e5}}},
    "Gemma4VisionConfig": {"head72": {"head_dim": 72, "hidden_size": 1152, "num_attention_heads": 16}},
    "Llama4VisionConfig": {"published": {"hidden_size": 1408, "image_size": 336}},
    "MiniMaxM3VLVisionConfig": {"head72": {"hidden_size": 1152}},
    "DINOv3ViTConfig": {"head128": {"hidden_size": 4096, "num_attention_heads": 32, "rope_theta": 50.0}},
    "Sam2VideoConfig": {"halved": {"memory_attention_downsample_rate": 2, "memory_attention_num_attention_heads": 2}},
}  # fmt: skip
