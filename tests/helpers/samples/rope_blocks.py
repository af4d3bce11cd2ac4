"""A small rope for the tests of rope types, and blocks for it."""

from tightrope import RopeConfig

DIM = 64
PAIRS = DIM // 2
BASE = 500_000.0
TRAINED = 4096
DECLARED = 32_768
SHORT = tuple(1.0 + 0.01 * i for i in range(PAIRS))
LONG = tuple(1.0 + 0.75 * i for i in range(PAIRS))
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
YARN = {"rope_type": "yarn", "factor": 8.0}
LONGROPE = {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG}


def rope(block=None, **changes):
    fields = {"head_dim": DIM, "rotary_dim": DIM, "base": BASE, "layout": "half", "max_position_embeddings": DECLARED}
    config = RopeConfig(**{**fields, **changes})
    return config if block is None else config.replace(scaling=block)
