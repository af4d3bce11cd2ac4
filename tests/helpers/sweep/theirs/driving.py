"""A family's own rotary module and its own apply function, called as its attention calls them.

`Rope` is one rotation of one configuration: `inv_freq`, `angles(positions)`, `rotate(q, k, positions)`.
How attention wraps the apply function is read from the module: its signature, and whether it hands over whole heads,
the first channels of a head, or the last ones (MLA). tests/whole/sweep/test_driving.py holds all of it
against what attention
really does.
"""

import copy
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from sweep.subjects.discovery import RotaryClass

INTERLEAVED = "apply_rotary_pos_emb_interleave"
APPLY = ("apply_rotary_pos_emb", "apply_rotary_emb")
FIRST_CHANNELS = re.compile(r"\[\.\.\., : ?self\.rotary_ndims\]")


@dataclass
class Rope:
    """One rotation of one configuration of transformers.

    Attributes:
        rotary: The rotary class, with its family and module.
        config: The configuration, as the model gets it.
        layer_type: The key that the rotary module wants, None where it wants none.
        label: What distinguishes the rope within its configuration, "" where it is the only one.
        layer: A layer that has this rope.
        options: Further arguments of the rotary class.
    """

    rotary: RotaryClass
    config: object
    layer_type: str | None = None
    label: str = ""
    layer: int = 0
    options: dict = field(default_factory=dict)

    @cached_property
    def module(self):
        """The modeling module."""
        return self.rotary.module

    @cached_property
    def layer_config(self):
        """The configuration of one layer where layers differ in their widths."""
        return config_of_layer(self.config, self.layer_type)

    @property
    def block(self) -> dict:
        """The rope parameters of this rope."""
        return block_of(self.config, self.layer_type)

    @property
    def rope_type(self) -> str:
        return self.block.get("rope_type", "default")

    @property
    def head_dim(self) -> int:
        """Channels of a query head as attention holds it."""
        if self.is_mla:
            return self.layer_config.qk_nope_head_dim + self.layer_config.qk_rope_head_dim
        return head_dim(self.layer_config)

    @cached_property
    def is_mla(self) -> bool:
        """Whether attention rotates the last channels of a head, split off as qk_rope_head_dim."""
        names_it = "qk_nope_head_dim" in inspect.getsource(self.module)
        return names_it and attribute(self.layer_config, "qk_nope_head_dim") is not None

    @cached_property
    def axes(self) -> int:
        """Position axes that the rotary module takes."""
        found = re.search(r"position_ids\.expand\((\d+|len\(self\.mrope_section\)),", source(self.rotary.cls.forward))
        if not found:
            return 1
        return int(found[1]) if found[1].isdigit() else len(self.block["mrope_section"])

    @property
    def moves_pairs(self) -> bool:
        """Whether the rotated channels (2 i, 2 i + 1) come out as (i, i + half): q · k is the same."""
        return self.function.__name__ == INTERLEAVED

    def fresh(self) -> torch.nn.Module:
        """Return a new rotary module: dynamic ones keep a state between calls."""
        return self.rotary.cls(self.config, **self.options)

    def angles(self, positions: np.ndarray, module: torch.nn.Module | None = None) -> tuple[torch.Tensor, ...]:
        """Return what attention is handed for these positions: (cos, sin), or one complex tensor."""
        arguments = (torch.zeros(1), torch.from_numpy(positions))
        result = (module or self.fresh())(*arguments, *([self.layer_type] if self.layer_type else []))
        return result if isinstance(result, tuple) else (result,)

    def inv_freq(self, positions: np.ndarray) -> np.ndarray | None:
        """Return the frequencies that hold for these positions, float32; None where the family keeps none."""
        module = self.fresh()
        self.angles(positions, module)
        name = f"{self.layer_type}_inv_freq" if self.layer_type else "inv_freq"
        found = getattr(module, name, None)
        return None if found is None else found.numpy()

    def rotate(self, q: np.ndarray, k: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return q and k (batch, heads, seq, head_dim) rotated as attention rotates them, pairs in place."""
        angles = self.angles(positions)
        rotated = self._within_heads(torch.from_numpy(q), torch.from_numpy(k), angles)
        return tuple(_back(x, self._part()).numpy() if self.moves_pairs else x.numpy() for x in rotated)

    def _within_heads(self, q, k, angles):
        part = self._part()
        rotated = self._apply(q[..., part], k[..., part], angles)
        return tuple(_put(x, part, y) for x, y in zip((q, k), rotated, strict=True))

    def _part(self) -> slice:
        """Return the channels that attention hands to the apply function."""
        if self.is_mla:
            return slice(-self.layer_config.qk_rope_head_dim, None)
        if FIRST_CHANNELS.search(inspect.getsource(self.module)):
            return slice(0, int(self.head_dim * self.block.get("partial_rotary_factor", 1.0)))
        return slice(None)

    @property
    def call(self) -> tuple[str, int, int]:
        """The apply function's name, and the channels that it is handed: the first, and how many."""
        start, stop, _ = self._part().indices(self.head_dim)
        return self.function.__name__, start, stop - start

    @cached_property
    def function(self) -> Callable:
        """The apply function that attention calls."""
        if self.is_mla and hasattr(self.module, INTERLEAVED) and getattr(self.config, "rope_interleave", True):
            return getattr(self.module, INTERLEAVED)
        return next(getattr(self.module, name) for name in APPLY if hasattr(self.module, name))

    def _apply(self, q, k, angles):
        takes = tuple(inspect.signature(self.function).parameters)
        turned = ":, :, None" in source(self.function)  # broadcasts over heads in (batch, seq, heads, head_dim)
        if turned:
            q, k = q.transpose(1, 2), k.transpose(1, 2)
        if takes[0] in ("x", "tensor"):
            angles = angles[::-1] if takes[1] == "sin" else angles
            rotated = self.function(q, *angles), self.function(k, *angles)
        else:
            rotated = self.function(q, k, *angles)
        return tuple(x.transpose(1, 2) for x in rotated) if turned else rotated


def _put(x, part: slice, rotated):
    result = x.clone()
    result[..., part] = rotated
    return result


def _back(x, part: slice):
    """Return x with the halves of these channels interleaved again."""
    return _put(x, part, torch.stack(x[..., part].chunk(2, dim=-1), dim=-1).flatten(-2))


def source(function: Callable) -> str:
    """Return the source of a function, under its decorators."""
    return inspect.getsource(inspect.unwrap(function))


def attribute(config, name: str):
    """Return an attribute, None where it is missing or differs from layer to layer."""
    try:
        return getattr(config, name, None)
    except (RuntimeError, ValueError):
        return None


def config_of_layer(config, layer_type: str | None):
    """Return the configuration of a layer type where layers differ in their widths, else the configuration."""
    try:
        return config.per_layer_config[layer_type] if layer_type else config
    except ValueError:
        return config


def head_dim(config) -> int:
    """Return the width of a head of a configuration, as its attention derives it."""
    if own := attribute(config, "head_dim"):
        return own
    heads = attribute(config, "num_attention_heads") or attribute(config, "num_heads")
    return (attribute(config, "hidden_size") or attribute(config, "embed_dim")) // heads


def nested_keys(config) -> list[str]:
    """Return the keys of rope_parameters that hold one block per layer type, [] where there is one block."""
    blocks = attribute(config, "rope_parameters")
    return config.nested_rope_parameter_keys(blocks) if isinstance(blocks, dict) else []


def block_of(config, layer_type: str | None) -> dict:
    """Return the rope parameters of one layer type, {} where the configuration has none."""
    blocks = attribute(config, "rope_parameters") or {}
    return blocks[layer_type] if layer_type in nested_keys(config) else blocks


def ropes_of(rotary: RotaryClass, config) -> Iterator[Rope]:
    """Yield the ropes of a configuration: one per layer type, per base or per scaling."""
    if "scaled" in inspect.signature(rotary.cls).parameters:
        yield from _ropes_by_scaling(rotary, config)
    elif '"rope_theta": theta' in inspect.getsource(rotary.module):
        yield from _ropes_by_base(rotary, config)
    elif "layer_type" in rotary.arguments and nested_keys(config):
        for key in nested_keys(config):
            if config.rope_parameters[key] is not None:
                yield Rope(rotary, config, layer_type=key, label=key, layer=_first_layer(config, key))
    else:
        yield Rope(rotary, config)


def _ropes_by_scaling(rotary: RotaryClass, config) -> Iterator[Rope]:
    scaled = [layer in config.rope_scaling_layers for layer in range(config.num_hidden_layers)]
    for value in sorted(set(scaled)):
        label = "scaled" if value else "unscaled"
        yield Rope(rotary, config, label=label, layer=scaled.index(value), options={"scaled": value})


def _ropes_by_base(rotary: RotaryClass, config) -> Iterator[Rope]:
    for base in sorted(set(filter(None, config.layer_rope_theta))):
        own = copy.deepcopy(config)
        own.rope_parameters = {**own.rope_parameters, "rope_theta": base}
        yield Rope(rotary, own, label=f"base {base:g}", layer=config.layer_rope_theta.index(base))


def _first_layer(config, key: str) -> int:
    types = list(attribute(config, "layer_types") or [])
    return types.index(key) if key in types else 0
