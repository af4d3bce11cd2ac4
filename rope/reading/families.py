"""What config.json does not say, one line a family."""

from tightrope.rope.reading.family import Family, LayerRope, Shape
from tightrope.rope.reading.layers import full_every, only, zeros_of

_GLOBAL_LOCAL = {
    "sliding_attention": LayerRope(base_keys=("rope_local_base_freq",), scaled=False),
    "full_attention": LayerRope(base=1e6),
}

FAMILIES: dict[str, Family] = {
    "arcee": Family(shape=Shape(2560, 32, 32, 4096)),
    "cohere": Family(layout="interleaved", base=500_000.0, shape=Shape(8192, 64, 40, 8192)),
    "cohere2": Family(layout="interleaved", layers=full_every(4), no_position=only("sliding_attention")),
    "deepseek_v2": Family(mla=(128, 64), layout="interleaved", softmax="mscale", shape=Shape(4096, 32, 32, 2048)),
    "deepseek_v3": Family(mla=(128, 64), layout="interleaved", layout_key="rope_interleave", softmax="mscale"),
    "gemma": Family(head_dim=256, shape=Shape(3072, 16, 28, 8192)),
    "gemma2": Family(head_dim=256, shape=Shape(2304, 8, 26, 8192)),
    "gemma3_text": Family(
        head_dim=256,
        ropes=_GLOBAL_LOCAL,
        layers=full_every(6, "sliding_window_pattern"),
        shape=Shape(2304, 8, 26, 131072),
    ),
    "glm": Family(layout="interleaved", partial=0.5, head_dim=128),
    "glm4": Family(layout="interleaved", partial=0.5, head_dim=128),
    "gpt_neox": Family(partial=0.25, base_keys=("rotary_emb_base", "rope_theta"), partial_keys=("rotary_pct",)),
    "gpt_oss": Family(head_dim=64, base=150_000.0),
    "llama": Family(shape=Shape(4096, 32, 32, 2048)),
    "llama4_text": Family(
        layout="interleaved", base=500_000.0, head_dim=128, no_position=zeros_of("no_rope_layers", 4, "no_rope_layer_interval")
    ),
    "mistral": Family(shape=Shape(4096, 32, 32, 131072)),
    "nanochat": Family(direction=-1),
    "phi": Family(partial=0.5, rounds_up=False),
    "phi3": Family(partial=1.0, shape=Shape(3072, 32, 32, 4096)),
    "qwen2": Family(shape=Shape(4096, 32, 32, 32768)),
    "qwen2_vl": Family(base=1e6, mrope="chunked"),
    "qwen3": Family(head_dim=128, shape=Shape(4096, 32, 32, 32768)),
}

ALIASES = {"gemma3": "gemma3_text", "qwen2_5_vl": "qwen2_vl", "llama4": "llama4_text"}

_BY_SQUEEZED_NAME = {name.replace("_", "").lower(): name for name in (*FAMILIES, *ALIASES)}


def find_family(model_type: str) -> Family | None:
    """Return the family of a model_type, or of a configuration class's name; None for an unknown one."""
    name = ALIASES.get(model_type, model_type)
    if name not in FAMILIES:
        name = _BY_SQUEEZED_NAME.get(model_type.replace("_", "").lower(), name)
    return FAMILIES.get(ALIASES.get(name, name))
