"""The params.json of Meta's and Mistral's own checkpoints, in the words of a config.json.

Their weights pair neighbouring channels; the converted ones, which a config.json describes, pair halves.
"""

from collections.abc import Mapping
from typing import Any

from tightrope.rope.reading.section import Section

_SHAPE_KEYS = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "head_dim": "head_dim",
    "rope_theta": "rope_theta",
    "max_position_embeddings": "max_position_embeddings",
    "max_seq_len": "max_position_embeddings",
    "qk_nope_head_dim": "qk_nope_head_dim",
    "qk_rope_head_dim": "qk_rope_head_dim",
}
_META_KEYS = frozenset({"multiple_of", "ffn_dim_multiplier", "use_scaled_rope"})
_YARN_KEYS = {
    "factor": "factor",
    "original_max_position_embeddings": "original_max_position_embeddings",
    "beta": "beta_fast",
    "alpha": "beta_slow",
}


def is_native(config: Mapping[str, Any]) -> bool:
    """Return whether a file is a params.json: it counts layers and heads in Meta's words and names no family."""
    return config.get("model_type") in (None, "transformer") and {"dim", "n_layers", "n_heads"} <= config.keys()


def in_usual_words(section: Section) -> Section:
    """Return a params.json with the keys of a config.json that say the same."""
    values = {new: section.values[old] for old, new in _SHAPE_KEYS.items() if section.get(old) is not None}
    own = _meta(section) if _META_KEYS & section.values.keys() else _mistral(section)
    section.findings.note("params.json: the weights beside it pair neighbouring channels")
    return Section({**section.values, **values, **own}, section.findings, section.path)


def _meta(section: Section) -> dict[str, Any]:
    """Llama 3.1 and later turn scaling on by a flag; its numbers are those of Meta's apply_scaling."""
    values: dict[str, Any] = {"model_type": "meta_params"}
    if section.flag("use_scaled_rope"):
        factor, high = section.number("rope_scaling_factor"), section.number("rope_high_freq_factor")
        values["rope_scaling"] = {
            "rope_type": "llama3",
            "factor": 8.0 if factor is None else factor,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0 if high is None else high,
            "original_max_position_embeddings": 8192,
        }
    if section.find("nope_layer_interval") is not None:
        values["model_type"] = "meta_params_nope"
        values["no_rope_layer_interval"] = section.get("nope_layer_interval")
    return values


def _mistral(section: Section) -> dict[str, Any]:
    """Mistral's defaults of the base: 10 000 with a sliding window, 1 000 000 without."""
    latent = section.find("qk_rope_head_dim") is not None
    values: dict[str, Any] = {"model_type": "mistral_params_mla" if latent else "mistral_params"}
    if section.find("rope_theta") is None:
        values["rope_theta"] = 1e6 if section.find("sliding_window") is None else 1e4
        section.findings.note(f"no rope_theta; Mistral's default {values['rope_theta']:.15g} is used")
    yarn, temperature = section.inner("yarn"), section.inner("llama_4_scaling")
    if yarn is not None:
        block = {new: yarn.values[old] for old, new in _YARN_KEYS.items() if yarn.get(old) is not None}
        scaled = {} if yarn.flag("apply_scale") else {"attention_factor": 1.0}
        beta = {} if temperature is None else {"llama_4_scaling_beta": temperature.get("beta")}
        values["rope_scaling"] = {"rope_type": "yarn", **block, **scaled, **beta}
    return values
