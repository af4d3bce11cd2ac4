"""The rope types that a configuration is tried with, besides its own."""

import copy
import inspect

import numpy as np

from sweep.subjects.discovery import RotaryClass
from sweep.theirs.driving import attribute, block_of, config_of_layer, head_dim, nested_keys

# Parameters of a block that survive when it is given another rope type.
KEPT = ("rope_theta", "partial_rotary_factor", "mrope_section", "mrope_interleaved", "llama_4_scaling_beta")

ROPE_TYPES = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "dynamic": {"rope_type": "dynamic", "factor": 4.0},
    "yarn": {"rope_type": "yarn", "factor": 8.0},
    "yarn mscale": {"rope_type": "yarn", "factor": 8.0, "mscale": 1.0, "mscale_all_dim": 0.707},
    "yarn attention": {"rope_type": "yarn", "factor": 8.0, "attention_factor": 1.25},
    "yarn untruncated": {"rope_type": "yarn", "factor": 8.0, "truncate": False},
    "yarn betas": {"rope_type": "yarn", "factor": 8.0, "beta_fast": 16.0, "beta_slow": 2.0},
    "longrope": {"rope_type": "longrope"},
    "longrope factor": {"rope_type": "longrope", "factor": 32.0},
    "longrope attention": {"rope_type": "longrope", "attention_factor": 1.19},
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    "proportional": {"rope_type": "proportional", "partial_rotary_factor": 0.25},
    "proportional factor": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "factor": 2.0},
}
IN_ROPE_SCALING = ("linear", "yarn", "llama3")
ALPHA = {"alpha": {"rope_type": "dynamic", "alpha": 1000.0, "factor": 1.0}}
MSCALES = {"longrope": {"rope_type": "longrope", "short_mscale": 1.25, "long_mscale": 1.4}}


def takes_rope_types(rotary: RotaryClass) -> bool:
    """Return whether a rotary class computes scaled frequencies at all."""
    code = getattr(inspect.unwrap(rotary.cls.__init__), "__code__", None)
    return code is not None and "ROPE_INIT_FUNCTIONS" in code.co_names


def variants(rotary: RotaryClass) -> dict[str, dict]:
    """Return the rope blocks that a rotary class is tried with, by label."""
    if hasattr(rotary.cls, "compute_ntk_alpha_rope_parameters"):
        return ROPE_TYPES | ALPHA
    return MSCALES if "long_mscale" in inspect.getsource(rotary.cls) else ROPE_TYPES


def build(cls: type, options: dict) -> object:
    """Return a configuration; the options stay as they are."""
    return cls(**copy.deepcopy(options))


def with_rope_type(cls: type, options: dict, spec: dict) -> object:
    """Return the configuration with another rope type, in every layer type.

    Raises:
        ValueError: The class made another rope type of it.
    """
    plain = build(cls, options)
    original = attribute(plain, "original_max_position_embeddings")
    keys = nested_keys(plain)
    blocks = {key: _block(plain, key, spec, original) for key in keys} or _block(plain, None, spec, original)
    changed = {**copy.deepcopy(options), "rope_parameters": blocks}
    changed.pop("partial_rotary_factor", None)
    config = cls(**changed)
    for key in keys or [None]:
        if (block := block_of(config, key)) and block.get("rope_type") != spec["rope_type"]:
            raise ValueError(f"the configuration made rope_type {block.get('rope_type')!r} of {spec['rope_type']!r}")
    return config


def with_rope_scaling(cls: type, options: dict, spec: dict) -> object:
    """Return the configuration that a class makes of rope_scaling, where its layer types differ.

    Raises:
        ValueError: No layer type got the rope type.
    """
    plain = {key: value for key, value in cls(**copy.deepcopy(options)).to_dict().items() if key != "rope_parameters"}
    original = {"original_max_position_embeddings": max(plain["max_position_embeddings"] // 8, 64)}
    block = spec | (original if spec["rope_type"] != "linear" else {})
    config = cls.from_dict({**plain, "rope_scaling": block})
    if all((block_of(config, key) or {}).get("rope_type") != spec["rope_type"] for key in nested_keys(config)):
        raise ValueError("the configuration class does not read rope_scaling")
    return config


def _block(config, key: str | None, spec: dict, original: int | None) -> dict | None:
    old = block_of(config, key)
    if old is None:
        return None
    block = {name: old[name] for name in KEPT if name in old}
    if old.get("rope_type") == "proportional":  # there the factor counts angles, elsewhere channels
        block.pop("partial_rotary_factor", None)
    block |= spec
    if spec["rope_type"] in ("yarn", "longrope", "llama3"):
        longest = attribute(config, "max_position_embeddings") or 2048
        block["original_max_position_embeddings"] = original or max(longest // 8, 64)
    if spec["rope_type"] == "longrope":
        pairs = int(head_dim(config_of_layer(config, key)) * block.get("partial_rotary_factor", 1.0)) // 2
        block |= {"short_factor": _factors(pairs, 2.0), "long_factor": _factors(pairs, 60.0)}
    return block


def _factors(pairs: int, largest: float) -> list[float]:
    """Return increasing factors from 1 up to largest, none a round number."""
    return [round(float(value), 6) for value in np.geomspace(1.0, largest, pairs)]
