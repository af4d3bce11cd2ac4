"""Configurations and arrays that the tests of names for ported code share."""

from types import SimpleNamespace

import numpy as np

HEAD_DIM = 128
PAIRS = HEAD_DIM // 2
BLOCKS = {
    "default": {},
    "linear": {"factor": 2.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 8192, "mscale": 1.0, "mscale_all_dim": 0.8},
    "longrope": {
        "factor": 16.0,
        "short_factor": [1.0] * PAIRS,
        "long_factor": [1.1] * PAIRS,
        "original_max_position_embeddings": 4096,
    },
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "proportional": {"partial_rotary_factor": 0.25},
}
# Theirs computes in float32: exponent, power, reciprocal, and then the type's own operations.
ROUNDINGS = {"linear": 5, "dynamic": 4, "yarn": 8, "longrope": 5, "llama3": 9, "proportional": 4}
EACH = 2.0**-24


def config(rope_type="default", **fields):
    block = {"rope_type": rope_type, "rope_theta": 10_000.0, **BLOCKS[rope_type]}
    shape = {"hidden_size": 32 * HEAD_DIM, "num_attention_heads": 32, "max_position_embeddings": 32_768}
    return SimpleNamespace(**{**shape, "rope_parameters": block, **fields})


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
