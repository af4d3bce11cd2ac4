"""Tiny transformers models for the tests of patching, and what the tests ask them."""

import copy
import functools
import inspect
from typing import Any

import numpy as np
import torch

from models import tiny_models

# What a patched model is told so that it rotates as it did before.
FAITHFUL = {"precision": "float32", "policy": "transformers"}
# Beyond LongRoPE's switch, and where float32 angles have lost three digits.
FAR = 40_000
TOKENS = torch.from_numpy(np.random.default_rng(3).integers(2, 128, (2, 24)))


@functools.cache
def model(name: str) -> Any:
    """Return an architecture of `tiny_models`, built once: who changes it puts it right again."""
    return tiny_models.build(name)


def fresh(name: str) -> Any:
    """Return a copy of an architecture, to be changed."""
    return copy.deepcopy(model(name))


def parts(model: Any) -> list[tuple[str, int, list[str]]]:
    """Return each module's name, identity and attributes, by which a test sees that nothing was changed."""
    return [(name, id(module), sorted(vars(module))) for name, module in model.named_modules()]


def logits(model: Any, tokens: torch.Tensor = TOKENS, offset: int = 0) -> torch.Tensor:
    """Return the logits of tokens whose positions begin at offset."""
    positions = torch.arange(offset, offset + tokens.shape[1]).expand(len(tokens), -1)
    with torch.no_grad():
        return model(tokens, position_ids=positions, use_cache=False).logits


def rotated_by(model: Any, layer: int, x: torch.Tensor, offset: int) -> torch.Tensor:
    """Return what the rotation of one layer makes of q = k = x, by the model's own code or the patched one."""
    attention = model.model.layers[layer].self_attn
    positions = torch.arange(offset, offset + x.shape[2])[None]
    angles = model.model.rotary_emb(x, positions)
    return apply_function(attention.forward)(x, x, *angles)[0]


def apply_function(forward: Any) -> Any:
    """Return the apply function that a forward method finds, under its decorators."""
    return inspect.unwrap(forward).__globals__["apply_rotary_pos_emb"]


def cache_after(model: Any, tokens: torch.Tensor, cache: Any = None) -> Any:
    """Return the key cache after these tokens; transformers 5.24 calls it `cache`, before it was `past_key_values`."""
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    return getattr(model(tokens, use_cache=True, **{name: cache}), name)
