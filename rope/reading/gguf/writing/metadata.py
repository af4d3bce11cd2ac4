"""What llama.cpp's converter should write of a config.json's rotation: the architecture, its keys, its divisors."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import frequencies
from tightrope.rope.reading.gguf.architectures import ARCHITECTURES
from tightrope.rope.reading.gguf.columns import Architecture
from tightrope.rope.reading.gguf.file import GgufFile
from tightrope.rope.reading.gguf.layers import FULL, SLIDING
from tightrope.rope.scaling.divisors import Divisors
from tightrope.rope.scaling.linear import Linear
from tightrope.rope.scaling.llama3 import Llama3
from tightrope.rope.scaling.longrope import LongRope
from tightrope.rope.scaling.ntk import Ntk
from tightrope.rope.scaling.yarn import Yarn

# The architecture that convert_hf_to_gguf.py gives a model_type, where it is not the same name.
_NAMES: Final[dict[str, str]] = {
    **dict.fromkeys(("mistral", "mixtral", "yi", "internlm3", "aquila", "vaultgemma_llama", "mllama"), "llama"),
    **dict.fromkeys(("qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"), "qwen2vl"),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "kimi_k2"), "deepseek2"),
    **dict.fromkeys(("gemma3_text", "gemma3"), "gemma3"),
    **dict.fromkeys(("llama4_text", "llama4"), "llama4"),
    **dict.fromkeys(("ministral3", "mistral3"), "mistral3"),
    **dict.fromkeys(("glm", "chatglm"), "chatglm"),
    **dict.fromkeys(("phi3", "phi3_v", "phi4mm"), "phi3"),
    **dict.fromkeys(("phi", "phi-msft"), "phi2"),
    **dict.fromkeys(("stablelm", "stablelm_epoch"), "stablelm"),
    **dict.fromkeys(("granitemoe", "granitemoeshared"), "granitemoe"),
    **dict.fromkeys(("hunyuan", "hunyuan_v1_moe"), "hunyuan-moe"),
    **dict.fromkeys(("qwen3_5", "qwen3_5_text"), "qwen35"),
    **dict.fromkeys(("qwen3_5_moe", "qwen3_5_moe_text"), "qwen35moe"),
    **dict.fromkeys(("qwen3_vl", "qwen3_vl_text"), "qwen3vl"),
    **dict.fromkeys(("qwen3_vl_moe", "qwen3_vl_moe_text"), "qwen3vlmoe"),
    **dict.fromkeys(("gemma3n", "gemma3n_text"), "gemma3n"),
    **dict.fromkeys(("gemma4", "gemma4_text"), "gemma4"),
    "mimo": "qwen2",
    "qwen2_moe": "qwen2moe",
    "qwen3_moe": "qwen3moe",
    "qwen3_next": "qwen3next",
    "cohere": "command-r",
    "deepseek_v32": "deepseek32",
    "ernie4_5_moe": "ernie4_5-moe",
    "exaone_moe": "exaone-moe",
    "falcon_h1": "falcon-h1",
    "glm4_moe": "glm4moe",
    "glm_moe_dsa": "glm-dsa",
    "gpt_neox": "gptneox",
    "gpt_oss": "gpt-oss",
    "granitemoehybrid": "granitehybrid",
    "hunyuan_v1_dense": "hunyuan-dense",
    "lfm2_moe": "lfm2moe",
    "minimax_m2": "minimax-m2",
    "modernbert": "modern-bert",
    "nemotron-nas": "deci",
    "nomic_bert": "nomic-bert",
    "olmo3": "olmo2",
    **dict.fromkeys(("bailing_hybrid", "bailing_moe_v3"), "bailingmoe3"),
    "bailing_moe": "bailingmoe",
    "bailing_moe_v2": "bailingmoe2",
    **dict.fromkeys(("dots3_note", "dots3_note_text"), "dots3note"),
}
# Divisors beyond any position: how the converter writes a pair that does not rotate.
_STILL: Final = 1e30


def architecture_of(model_type: str) -> str | None:
    """Return the architecture of a model_type; None where llama.cpp has none, or none that rotates."""
    name = _NAMES.get(model_type, model_type)
    return name if name in ARCHITECTURES else None


def metadata_of(config: Mapping[str, Any], model: ModelRope) -> GgufFile:
    """Return the header that llama.cpp needs to rotate as a config.json says.

    What GGUF has no key for (a correction range that is not rounded, an attention factor of one's own, dynamic NTK)
    is left out, as the converter leaves it out.

    Args:
        config: The content of config.json, of the language model.
        model: What Tightrope reads in it.

    Raises:
        RopeConfigError: llama.cpp has no architecture for this model_type.
    """
    name = architecture_of(model.model_type)
    if name is None:
        raise RopeConfigError(f"llama.cpp has no architecture for model_type {model.model_type!r}")
    row = ARCHITECTURES[name]
    ropes = dict(model.ropes)
    sliding = ropes.get(SLIDING)
    full = ropes.get(FULL) or next(rope for key, rope in ropes.items() if key != SLIDING or len(ropes) == 1)
    values = {"block_count": len(model.layers), **_widths(config, row, full), "rope.freq_base": _base(full, row)}
    divisors = dict(_divisors(full))
    values |= dict(_scaling(full, row))
    values |= _sliding(config, model, row, sliding) | _temperature(model, row) | _indexer(config, model, row)
    return GgufFile(name, values, divisors)


def _base(rope: RopeConfig, row: Architecture) -> float:
    """Return the base; static NTK is written into it where the architecture has no key for it."""
    if isinstance(rope.scaling, Ntk) and not row.alpha:
        return float(rope.base * rope.scaling.factor ** (rope.exponent_dim / (rope.exponent_dim - 2)))
    return float(rope.base)


def _widths(config: Mapping[str, Any], row: Architecture, rope: RopeConfig) -> dict[str, Any]:
    found: dict[str, Any] = {"context_length": rope.max_position_embeddings or 4096}
    if row.latent_keys and isinstance(config.get("kv_lora_rank"), int):
        rank = config["kv_lora_rank"]
        found |= {"attention.key_length_mla": rope.head_dim, "attention.kv_lora_rank": rank}
        found |= {"attention.key_length": rank + rope.rotary_dim, "attention.value_length": rank}
        found |= {"attention.value_length_mla": config.get("v_head_dim", rope.head_dim), "attention.head_count_kv": 1}
    else:
        found |= {"attention.key_length": rope.head_dim, "attention.value_length": rope.head_dim}
    if row.side == "tail" and not row.latent_keys:
        found["attention.kv_lora_rank"] = config.get("kv_lora_rank", 64)
    found["rope.dimension_count"] = int(rope.rotary_dim / row.full_fraction)
    if rope.mrope is not None and row.sections != "none":
        found["rope.dimension_sections"] = [*rope.mrope.sections, 0, 0, 0, 0][:4]
    return found


def _scaling(rope: RopeConfig, row: Architecture) -> Iterator[tuple[str, Any]]:
    scaling = rope.scaling
    if isinstance(scaling, Linear):
        yield from (("rope.scaling.type", "linear"), ("rope.scaling.factor", float(scaling.factor)))
    if isinstance(scaling, Ntk) and row.alpha:
        yield "rope.scaling.alpha", float(scaling.factor)
    if isinstance(scaling, Yarn):
        yield from _yarn(rope, scaling, row)
    if isinstance(scaling, LongRope):
        yield from (("rope.scaling.type", "longrope"), ("rope.scaling.original_context_length", rope.original_length))
        yield "rope.scaling.attn_factor", float(frequencies(rope, 1).attention_factor)


def _yarn(rope: RopeConfig, scaling: Yarn, row: Architecture) -> Iterator[tuple[str, Any]]:
    yield from (("rope.scaling.type", "yarn"), ("rope.scaling.factor", float(scaling.resolved_factor(rope))))
    yield "rope.scaling.original_context_length", rope.original_length
    yield "rope.scaling.yarn_beta_fast", float(scaling.beta_fast)
    yield "rope.scaling.yarn_beta_slow", float(scaling.beta_slow)
    if scaling.mscale_all_dim:
        yield "rope.scaling.yarn_log_multiplier", scaling.mscale_all_dim * (0.1 if row.latent_keys else 1.0)
    if scaling.attn_factor != 1:
        yield "rope.scaling.attn_factor", float(scaling.attn_factor)


def _divisors(rope: RopeConfig) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Yield the tensors of divisors, as float32 that the file holds."""
    scaling = rope.scaling
    if isinstance(scaling, LongRope):
        yield "rope_factors_long", _float32(scaling.long_factor)
        yield "rope_factors_short", _float32(scaling.short_factor)
    elif isinstance(scaling, Llama3 | Divisors) or scaling.rope_type == "proportional":
        kept = frequencies(rope.replace(scaling={"rope_type": "default"})).inv_freq
        with np.errstate(divide="ignore"):
            divisors = kept / frequencies(rope).inv_freq
        yield "rope_freqs", _float32(np.where(np.isfinite(divisors), divisors, _STILL).tolist())


def _float32(values: Any) -> tuple[float, ...]:
    return tuple(np.asarray(values, np.float32).tolist())


def _sliding(
    config: Mapping[str, Any], model: ModelRope, row: Architecture, sliding: RopeConfig | None
) -> dict[str, Any]:
    """Return which layers slide or have no position, and the rope of those that slide."""
    window = config.get("sliding_window")
    windowed = {"attention.sliding_window": window} if isinstance(window, int) and window > 0 else {}
    if row.pattern is None:
        attends = [key is not None for key in model.layers]
        hybrid = not all(attends) and row.no_position is None and row.interval is None
        return windowed | ({"attention.head_count_kv": [int(here) for here in attends]} if hybrid else {})
    found: dict[str, Any] = windowed or {"attention.sliding_window": 4096}
    if row.pattern.stated:
        slides = [key == SLIDING if sliding is not None else key is not None for key in model.layers]
        found["attention.sliding_window_pattern"] = slides
    if sliding is None:
        if row.pattern.others == "full" and row.no_position is None:
            return {}
        return found
    found["rope.freq_base_swa"] = float(sliding.base)
    found["rope.dimension_count_swa"] = sliding.rotary_dim
    if row.latent_keys:
        return found | _latent_sliding(config, sliding)
    if row.pattern.own_keys and sliding.head_dim != model.ropes.get(FULL, sliding).head_dim:
        found["attention.key_length_swa"] = found["attention.value_length_swa"] = sliding.head_dim
    return found


def _latent_sliding(config: Mapping[str, Any], sliding: RopeConfig) -> dict[str, Any]:
    """Return the widths of sliding layers whose keys are latent."""
    rank = config.get("kv_lora_rank", 512)
    return {
        "attention.key_length_mla_swa": sliding.head_dim,
        "attention.value_length_mla_swa": config.get("v_head_dim", sliding.head_dim),
        "attention.kv_lora_rank_swa": rank,
        "attention.key_length_swa": rank + sliding.rotary_dim,
        "attention.value_length_swa": rank,
    }


def _indexer(config: Mapping[str, Any], model: ModelRope, row: Architecture) -> dict[str, Any]:
    """Return which layers choose keys for others, where the loader asks: as listed, else those that do not slide."""
    if not row.latent_keys or "index_head_dim" not in config:
        return {}
    listed = config.get("indexer_types")
    owns = [kind == "full" for kind in listed] if isinstance(listed, list) else [key != SLIDING for key in model.layers]
    return {"attention.indexer.types": owns, "attention.indexer.key_length": config["index_head_dim"]}


def _temperature(model: ModelRope, row: Architecture) -> dict[str, Any]:
    scale = next(iter(model.query_scales.values()), None)
    if scale is None or row.temperature is None or not row.temperature.stated:
        return {}
    return {"attention.temperature_scale": float(scale.beta), "attention.temperature_length": scale.length}
