"""What mlx-lm 0.32.2 rotates otherwise than the configuration says."""

from audits.fragments import FILLED, LONG, YARN, newer, older
from models.tiny_models import SIZES, fields

MLA = {
    key: value for key, value in fields("deepseek_v3").items() if key not in ("head_dim", "rope_parameters")
} | FILLED
GEMMA4 = {
    "model_type": "gemma4_text", **SIZES, **FILLED, "global_head_dim": 16, "sliding_window": 16,
    "sliding_window_pattern": 2, "layer_types": ["sliding_attention", "full_attention"], "num_kv_shared_layers": 0,
    "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 128,
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 2.0, "partial_rotary_factor": 0.25},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
    },
}  # fmt: skip
LINEAR = {"rope_type": "linear", "type": "linear", "factor": 4.0}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}

# An example for each class of disagreement that was measured in it.
KNOWN = {
    "rope_parameters unread, silently": (newer("llama"), "wrong", {"spelling not read"}),
    "rope_parameters unread, raising": (newer("helium"), "refuses", {"spelling not read"}),
    "rope_scaling ignored": (older("mixtral", YARN), "wrong", {"scaling ignored"}),
    "rope_scaling ignored, llama3": (
        older("qwen3_moe", fields("llama3.1")["rope_parameters"]), "wrong", {"scaling ignored"},
    ),
    "rope_scaling checked, and ignored": (older("qwen2_moe", LINEAR), "wrong", {"scaling ignored"}),
    "rope_theta ignored": (
        older("recurrent_gemma", partial_rotary_factor=0.5, block_types=["attention"], attention_bias=False), "wrong",
        {"base ignored"},
    ),
    "partial_rotary_factor ignored": (older("glm", partial_rotary_factor=0.5), "wrong", {"partial factor ignored"}),
    "truncate ignored": (older("gpt_oss", {**YARN, "truncate": False}), "wrong", {"truncate ignored"}),
    "attention_factor unread": (older("llama", {**YARN, "attention_factor": 1.0}), "wrong", {"attention factor"}),
    "mscale rule": (older("llama", {**YARN, "mscale": 0.7}), "wrong", {"mscale rule"}),
    "mscale rule, the other way": (older("llama", {**YARN, "mscale_all_dim": 1.0}), "wrong", {"mscale rule"}),
    "original length not taken from the model": (
        older("llama", {"rope_type": "yarn", "type": "yarn", "factor": 4.0}), "wrong", {"original length"},
    ),
    "original length of llama3 not taken from the model": (older("llama", LLAMA3), "wrong", {"original length"}),
    "long factors always": (
        older("phi3", {**LONG, "type": "longrope"}, head_dim=None, original_max_position_embeddings=4096), "wrong",
        {"long factors always"},
    ),
    "longrope's attention_factor unread": (
        older("llama", {**LONG, "attention_factor": 1.5}), "wrong", {"attention factor", "long factors always"},
    ),
    "longrope pairs by halves in a family that pairs neighbours": (
        {**MLA, "rope_theta": 500_000.0, "rope_scaling": {**LONG, "short_factor": [1.0] * 4, "long_factor": [4.0] * 4}},
        "wrong", {"layout", "long factors always"},
    ),
    "dynamic agrees from fresh": (
        older("llama", {"rope_type": "dynamic", "factor": 2.0}), "rounding", {"precision only"},
    ),
    "dynamic without a length to compare with": (
        older("gpt_oss", {"rope_type": "dynamic", "factor": 2.0}), "refuses", {"not built"},
    ),
    "nested softmax factor": (
        {**MLA, "rope_parameters": fields("deepseek_v3")["rope_parameters"]}, "wrong", {"spelling not read"},
    ),
    "nothing without rope_scaling": (
        {**MLA, "model_type": "deepseek_v2", "rope_theta": 10_000.0, "rope_scaling": None}, "refuses", {"not built"},
    ),
    "a type that a family does not know": (
        older("internlm3", YARN, bias=False, qkv_bias=False), "refuses", {"not built"},
    ),
    "the name of the type under one key only": (
        older("phi3", LONG, head_dim=None, original_max_position_embeddings=4096), "refuses",
        {"key not read", "long factors always"},
    ),
    "partial factor only for proportional": (GEMMA4, "wrong", {"partial factor ignored"}),
    "proportional outside its family": (
        older("stablelm", {"rope_type": "proportional", "factor": 2.0}, partial_rotary_factor=0.25), "wrong",
        {"partial factor ignored", "scaling ignored"},
    ),
    "rotary_dim read where it says nothing": (
        {"model_type": "minimax_m3_vl", "text_config": {**newer("minimax_m3_vl"), "rotary_dim": 8}}, "wrong",
        {"partial factor ignored"},
    ),
    "precision only": (older("llama"), "rounding", {"precision only"}),
    "mrope, text positions": (
        older("qwen2_vl", {"type": "mrope", "rope_type": "default", "mrope_section": [2, 3, 3]}), "rounding",
        {"precision only"},
    ),
}  # fmt: skip
