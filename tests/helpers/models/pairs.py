"""One tiny model in both frameworks: made in transformers, saved, loaded in mlx-lm, patched and as it is."""

import copy
import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import torch
from mlx_lm.models.base import create_causal_mask
from mlx_lm.utils import load_model

import tightrope
from models import tiny_models

# Where the prompt begins: at the start, and where float32 angles have lost three digits.
SHORT, FAR = 0, 40_000


class AtOffset:
    """A cache that keeps nothing: it only says where the prompt begins, so far positions need no long prompt."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def update_and_fetch(self, keys: Any, values: Any) -> tuple[Any, Any]:
        return keys, values

    def make_mask(self, length: int, return_array: bool = False, window_size: int | None = None) -> Any:
        return create_causal_mask(length, 0, window_size)


@dataclass(frozen=True)
class Pair:
    """A model in transformers, and the folder that it was saved in."""

    torch: Any
    folder: Path

    @functools.cached_property
    def mlx(self) -> Any:
        """mlx-lm's model with Tightrope's ropes."""
        return tightrope.load_mlx(self.folder)[0]

    def unpatched_mlx(self) -> Any:
        """mlx-lm's model as mlx-lm loads it; raises what mlx-lm raises."""
        return load_model(self.folder)[0]

    def torch_logits(self, prompt: np.ndarray, offset: int) -> np.ndarray:
        return _torch_logits(self.torch, prompt, offset)

    def exact_logits(self, prompt: np.ndarray, offset: int) -> np.ndarray:
        """The patched model in float64: what the weights say, but for the rounding of cos and sin to float32."""
        model = copy.deepcopy(self.torch).double()
        with tightrope.patched(model):
            return _torch_logits(model, prompt, offset)


def _torch_logits(model: Any, prompt: np.ndarray, offset: int) -> np.ndarray:
    positions = torch.arange(offset, offset + prompt.shape[1]).expand(len(prompt), -1)
    with torch.no_grad():
        return model(torch.from_numpy(prompt), position_ids=positions, use_cache=False).logits.double().numpy()


def mlx_logits(model: Any, prompt: np.ndarray, offset: int) -> np.ndarray:
    cache = [AtOffset(offset) for _ in model.layers]
    return np.array(model(mx.array(prompt), cache=cache)).astype(np.float64)


@functools.cache
def pair(name: str) -> Pair:
    """Return an architecture of `tiny_models` in both frameworks."""
    model = tiny_models.build(name)
    folder = Path(tempfile.mkdtemp(prefix=f"tightrope-{name}-"))
    tiny_models.save(model, folder)
    return Pair(model, folder)


def prompt(batch: int = 2, length: int = 40) -> np.ndarray:
    """Return random tokens, without the padding token 0 and the first word 1."""
    return np.random.default_rng(1).integers(2, tiny_models.SIZES["vocab_size"], (batch, length))
