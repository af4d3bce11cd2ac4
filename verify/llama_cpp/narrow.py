"""A model as llama.cpp would build it from a header, made narrow: the same rotations, small enough for any machine.

What says how a model rotates stays as it is: every rope and attention key, the number of layers, the width of a head.
What only makes a model large (vocabulary, feed-forward, experts, number of heads) becomes small, so that a 40 GB
model takes megabytes.
"""

from collections.abc import Mapping
from typing import Any, Final

from tightrope.rope.reading.gguf.file import GgufFile
from tightrope.rope.reading.gguf.writing.header import header_bytes

_HEADS: Final = 2
_SMALL: Final = 64
_VOCABULARY: Final = 64

# What loaders of some architecture require, where the source (a config.json) does not have it; of no bearing on ropes.
_DEFAULTS: Final[dict[str, Any]] = {
    "context_length": 4096,
    "leading_dense_block_count": 1,
    "use_parallel_residual": False,
    "logit_scale": 1.0,
    "time_mix_extra_dim": 64,
    "time_decay_extra_dim": 128,
    "attention.max_alibi_bias": 8.0,
    "attention.clamp_kqv": 1.0,
    "attention.layer_norm_epsilon": 1e-5,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "attention.group_norm_epsilon": 1e-5,
    "attention.group_norm_groups": 8,
    "attention.q_lora_rank": 64,
    "attention.kv_lora_rank": 64,
    "attention.relative_buckets_count": 8,
    "attention.indexer.head_count": 1,
    "attention.indexer.key_length": 64,
    "attention.indexer.top_k": 8,
    "expert_gating_func": 2,
    "expert_group_scale": 1.0,
    "interleave_moe_layer_step": 2,
    "ssm.conv_kernel": 4,
    "ssm.group_count": 2,
    "kda.head_dim": 128,
    "kda.gate_lower_bound": -5.0,
    "hyper_connection.count": 2,
    "hyper_connection.epsilon": 1e-6,
    "hyper_connection.magnitude": 1.0,
    "shortconv.l_cache": 3,
}

# Keys of no architecture: no vocabulary, and Apertus's activation.
_OTHERS: Final[dict[str, Any]] = {
    "tokenizer.ggml.model": "no_vocab",
    "tokenizer.ggml.token_type_count": 2,
    "xielu.alpha_n": 1.0,
    "xielu.alpha_p": 1.0,
    "xielu.beta": 1.0,
    "xielu.eps": 1e-7,
}

# Sizes of no bearing on ropes: made small wherever they stand.
_SIZES: Final[dict[str, int]] = {
    "vocab_size": _VOCABULARY,
    "feed_forward_length": _SMALL,
    "expert_feed_forward_length": _SMALL,
    "expert_shared_feed_forward_length": _SMALL,
    "expert_chunk_feed_forward_length": _SMALL,
    "expert_count": 2,
    "expert_used_count": 1,
    "expert_shared_count": 1,
    "experts_per_group": 1,
    "embedding_length_per_layer_input": _SMALL,
}


# Sizes that the code of an architecture takes for granted.
_FIXED: Final[dict[str, dict[str, int]]] = {
    "chameleon": {"vocab_size": 10_240},
    "plamo2": {"ssm.group_count": 0},
    "qwen3tts": {"vocab_size": 4096},
}


def narrow_keys(file: GgufFile, head_dim: int) -> dict[str, Any]:
    """Return the keys of a narrow model of the same rotations."""
    own = {key: value for key, value in file.values.items() if isinstance(value, str | bool | int | float | list)}
    width = _HEADS * head_dim
    keys = {**_DEFAULTS, **own, **{key: _small(own.get(key), size) for key, size in _SIZES.items()}}
    keys |= {
        "embedding_length": width,
        "features_length": width,
        "attention.head_count": _small(own.get("attention.head_count"), _HEADS),
        "attention.head_count_kv": _key_heads(own.get("attention.head_count_kv")),
        "attention.key_length": own.get("attention.key_length", head_dim),
        "attention.value_length": own.get("attention.value_length", own.get("attention.key_length", head_dim)),
        "ssm.inner_size": _HEADS * 128,
        "ssm.state_size": 128,
        "ssm.time_step_rank": _HEADS,
        "wkv.head_size": head_dim,
    }
    return keys | _FIXED.get(file.architecture, {})


def _small(stated: Any, size: int) -> Any:
    """Return a small size; of a list, one for each layer that has any."""
    return [size if value else 0 for value in stated] if isinstance(stated, list) else size


def _key_heads(stated: Any) -> Any:
    """Return as many key heads as query heads, one where the file has one: latent attention is built so."""
    most = max(stated, default=0) if isinstance(stated, list) else stated
    return _small(stated, 1 if most == 1 else _HEADS)


def narrow_header(file: GgufFile, head_dim: int) -> bytes:
    """Return the header of a narrow model, with the divisors of the file."""
    keys: Mapping[str, Any] = narrow_keys(file, head_dim)
    return header_bytes(file.architecture, keys, file.divisors, _OTHERS)
