"""What position does in a family's attention besides rotating: the factor on its logits, the temperature of its query.

One attention module is built by itself. It shows its factor as `scaling`; its query is caught where it is handed to the
function that multiplies it with the keys.
"""

import copy
import inspect

import numpy as np
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sweep.subjects.cases import Case
from sweep.theirs.driving import block_of, nested_keys

NARROW = 64


def logits_factor(case: Case) -> float | None:
    """Return what mscale_all_dim multiplies the attention logits by; None where no attention module shows it."""
    plain = copy.deepcopy(case.config)
    for key in nested_keys(plain) or [None]:
        (block_of(plain, key) or {}).pop("mscale_all_dim", None)
    try:
        with torch.device("meta"):
            scaled, unscaled = (_module(case, config, case.rope.layer) for config in (case.config, plain))
    except (AttributeError, TypeError):  # a module that the class's own default configuration cannot make
        return None
    values = [getattr(module, "scaling", None) for module in (scaled, unscaled)]
    return values[0] / values[1] if all(isinstance(value, float) for value in values) else None


@torch.no_grad()
def temperature(case: Case, layer: int, positions: np.ndarray) -> np.ndarray:
    """Return the length of the query of one same token at each position, in units of that at the first."""
    config = copy.deepcopy(case.config)
    config.hidden_size = NARROW
    caught = []
    config._attn_implementation = _catching(caught)
    torch.manual_seed(0)
    module = _module(case, config, layer)
    hidden = torch.randn(1, 1, NARROW)
    for position in positions:
        module(hidden, **_arguments(case, module, np.array([[position]])))
    norms = np.array([float(query.double().norm()) for query in caught])
    return norms / norms[0]


class Seen:
    """A cache that has seen so many tokens: where attention counts positions by itself."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def get_seq_length(self, layer: int) -> int:
        return self.tokens

    def update(self, key, value, layer: int, **_):
        return key, value


def _arguments(case: Case, module, positions: np.ndarray) -> dict:
    """Return what the layer hands to its attention for one token at a position."""
    takes = inspect.signature(module.forward).parameters
    rotated = getattr(module, "use_rope", getattr(module, "sliding_window", True))
    angles = case.rope.angles(case.for_family(positions))
    angles = angles if len(angles) > 1 else angles[0]
    seen = Seen(int(positions[0, 0]))
    given = {
        "position_embeddings": angles if rotated or "attention_scaling" not in takes else None,
        "position_ids": torch.from_numpy(positions),
        "cache": seen,
        "past_key_values": seen,  # its name before transformers 5.24
        "attention_mask": None,
    }
    if "attention_scaling" in takes and not rotated:
        given["attention_scaling"] = case.rope.module.compute_attention_scaling(torch.from_numpy(positions))
    return {name: value for name, value in given.items() if name in takes}


def _catching(caught: list) -> str:
    def catch(module, query, key, value, mask, **_):
        caught.append(query)
        return value.transpose(1, 2).repeat_interleave(query.shape[1] // value.shape[1], dim=2), None

    ALL_ATTENTION_FUNCTIONS.register("caught", catch)
    return "caught"


def _module(case: Case, config, layer: int) -> torch.nn.Module | None:
    """Return the family's attention module of one layer, None where none takes this configuration and a layer."""
    for cls in vars(case.rope.module).values():
        if not (inspect.isclass(cls) and issubclass(cls, torch.nn.Module) and "__init__" in vars(cls)):
            continue
        init = inspect.unwrap(cls.__init__)
        takes = inspect.signature(init).parameters
        kind = takes["config"].annotation if {"config", "layer_idx"} <= set(takes) else None
        if "scaling" in init.__code__.co_names and kind in (type(config), type(config).__name__):
            return cls(config, layer)
    return None
