"""Every case of the sweep: family × configuration × rope type × rope of the configuration, and the positions to try."""

import copy
import inspect
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import torch
import transformers
from sweep.discovery import RotaryClass, rotary_classes
from sweep.driving import Rope, attribute, block_of, config_of_layer, head_dim, nested_keys, ropes_of
from sweep.settings import CONFIGS, CONFIGURATIONS, NOT_ROTATED, SWITCHED_ON
from sweep.special import SPECIAL, WITHOUT_CLASS, stand_in
from sweep.vision import AxialRope, axial_rope, is_axial

# transformers warns about defaults that it then ignores; the sweep is about what it computes.
logging.getLogger("transformers").setLevel(logging.CRITICAL)
torch.set_grad_enabled(False)

# Parameters of a block that survive when it is given another rope type.
KEPT = ("rope_theta", "partial_rotary_factor", "mrope_section", "mrope_interleaved", "llama_4_scaling_beta")
LENGTH_TYPES = ("dynamic", "longrope")

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


@dataclass
class Case:
    """One rope of one configuration.

    Attributes:
        rope: The rope, as transformers runs it.
        config: The configuration as a file would hold it.
        configuration: "default" or a label of settings.CONFIGURATIONS.
        variant: "default" or a label of `ROPE_TYPES`.
        content: What the positions are of: "text", all axes alike; a "picture" within text; the "patches" of one.
    """

    rope: Rope
    config: object
    configuration: str
    variant: str
    content: str = "text"

    @property
    def family(self) -> str:
        return self.rope.rotary.family

    @cached_property
    def name(self) -> str:
        rope = self.rope
        content = self.content if self.content != "text" else ""
        parts = [type(self.config).__name__, self.configuration, self.variant, rope.label, content]
        return f"{self.family}/{rope.rotary.cls.__name__}/" + "/".join(filter(None, parts))

    @cached_property
    def head_dim(self) -> int:
        return self.rope.head_dim

    def positions(self) -> list[np.ndarray]:
        """Return (batch, seq), or (axes, batch, seq) where the axes differ."""
        if self.content == "patches":
            return self.rope.grids()
        if self.content == "picture":
            return [_picture(self.rope.axes, start) for start in (0, 32760)]
        starts = [start for start in (0, 4088, 32760, 131064) if start < self.rope.reach]
        if not self.follows_length:
            return [_runs(starts)]
        edges = [_runs([max(edge - 16, 0), edge - 15]) for edge in self._edges()]
        return [*(_runs([start]) for start in starts), _runs([0, 1000, 5003]), *edges]

    def for_family(self, positions: np.ndarray) -> np.ndarray:
        """Return the positions as the family's module takes them."""
        return np.stack([positions] * self.rope.axes) if positions.ndim < 3 and self.rope.axes > 1 else positions

    @property
    def is_switched_off(self) -> bool:
        """Whether this configuration leaves the rope out: its class keeps it, its attention does not call it."""
        return self.configuration == "default" and SWITCHED_ON in CONFIGURATIONS.get(type(self.config).__name__, {})

    @property
    def follows_length(self) -> bool:
        return self.rope.rope_type in LENGTH_TYPES

    def _edges(self) -> list[int]:
        """Return the lengths past which the frequencies change."""
        longest = attribute(self.config, "max_position_embeddings") or 2048
        original = self.rope.block.get("original_max_position_embeddings", longest)
        return [longest, 2 * longest] if self.rope.rope_type == "dynamic" else [original]


def heads(width: int, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return q and k for these positions, the same for every case of this width."""
    batch, seq = positions.shape[-2:]
    values = np.random.default_rng(width).standard_normal((2, batch, 1, seq, width), dtype=np.float32)
    return values[0], values[1]


def _runs(starts: list[int]) -> np.ndarray:
    return np.stack([np.arange(start, start + 16) for start in starts]).astype(np.int64)


def _picture(axes: int, start: int) -> np.ndarray:
    """Return 4 tokens of text, a grid of 2 × 3 × 4, text again: every axis differs from the others."""
    grid = np.stack(np.meshgrid(*map(np.arange, (2, 3, 4)), indexing="ij")).reshape(3, -1)
    grid = np.concatenate([grid, grid[:1] + 7])[:axes] + start + 4
    text = np.stack([np.arange(4)] * axes) + start
    row = np.concatenate([text, grid, text + grid.max() + 1 - start], axis=1)
    return np.stack([row, row + 37], axis=1).astype(np.int64)


@dataclass
class Sweep:
    """What can be driven, and what cannot: (name, reason)."""

    cases: list[Case] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def token_classes() -> Iterator[RotaryClass]:
    """Yield the rotary classes that turn by the position of a token or of a patch, stand-ins included."""
    for rotary in rotary_classes():
        by_position = "position_ids" in rotary.arguments or rotary.cls.__name__ in SPECIAL or is_axial(rotary)
        if by_position and rotary.family not in NOT_ROTATED:
            yield replace(rotary, configs=_named_configs(rotary))
    for family, (_, config_name) in WITHOUT_CLASS.items():
        yield stand_in(family, config_name)


def _named_configs(rotary: RotaryClass) -> tuple[type, ...]:
    names = CONFIGS.get(rotary.key)
    return tuple(_config_class(rotary, name) for name in names) if names else rotary.configs


def _config_class(rotary: RotaryClass, name: str) -> type:
    return getattr(rotary.module, name, None) or getattr(transformers, name)


def sweep(families: tuple[str, ...] = ()) -> Sweep:
    """Return every case, of these families or of all."""
    found = Sweep()
    for rotary in token_classes():
        if not families or rotary.family in families:
            for cls in rotary.configs:
                _add_class(found, rotary, cls)
    return found


def _add_class(found: Sweep, rotary: RotaryClass, cls: type) -> None:
    runnable = None
    for label, options in {"default": {}, **CONFIGURATIONS.get(cls.__name__, {})}.items():
        cases = _try(found, rotary, cls, label, "default", partial(_build, cls, options))
        if cases and (runnable is None or label != "partial"):
            runnable = (label, options)
    if runnable is not None and takes_rope_types(rotary):
        label, options = runnable
        for variant, spec in _variants(rotary).items():
            _try(found, rotary, cls, label, variant, partial(with_rope_type, cls, options, spec))
        if nested_keys(_build(cls, options)):
            for variant in IN_ROPE_SCALING:
                build = partial(with_rope_scaling, cls, options, ROPE_TYPES[variant])
                _try(found, rotary, cls, label, f"{variant} in rope_scaling", build)


def _try(found: Sweep, rotary: RotaryClass, cls: type, configuration: str, variant: str, build) -> list[Case]:
    """Add the cases of a configuration that runs; note why it does not."""
    name = f"{rotary.key}/{cls.__name__}/{configuration}/{variant}"
    try:
        config = build()
        ropes = _ropes(rotary, config)
        cases = [Case(rope, config, configuration, variant, content) for rope in ropes for content in _contents(rope)]
        for case in cases:
            positions = case.positions()[-1]
            q, k = heads(case.head_dim, positions)
            case.rope.rotate(q, k, case.for_family(positions))
    except Exception as error:  # noqa: BLE001: whatever transformers raises is the reason
        found.skipped.append((name, f"{type(error).__name__}: {str(error).strip()[:160]}"))
        return []
    found.cases += cases
    return cases


def _ropes(rotary: RotaryClass, config) -> list[Rope]:
    if rotary.family in WITHOUT_CLASS:
        return [WITHOUT_CLASS[rotary.family][0](rotary, config)]
    if rotary.cls.__name__ in SPECIAL:
        return [SPECIAL[rotary.cls.__name__](rotary, config)]
    if is_axial(rotary):
        return [axial_rope(rotary, config)]
    return list(ropes_of(rotary, config))


def _contents(rope: Rope) -> tuple[str, ...]:
    if isinstance(rope, AxialRope):
        return ("patches",)
    return ("text", "picture") if rope.axes > 1 else ("text",)


def takes_rope_types(rotary: RotaryClass) -> bool:
    """Return whether the rotary class computes scaled frequencies at all."""
    if rotary.family in WITHOUT_CLASS:
        return False
    return "ROPE_INIT_FUNCTIONS" in inspect.getsource(rotary.cls.__init__)


def _variants(rotary: RotaryClass) -> dict[str, dict]:
    if hasattr(rotary.cls, "compute_ntk_alpha_rope_parameters") or "alpha" in inspect.getsource(rotary.cls):
        return ROPE_TYPES | ALPHA
    return MSCALES if "long_mscale" in inspect.getsource(rotary.cls) else ROPE_TYPES


def with_rope_type(cls: type, options: dict, spec: dict) -> object:
    """Return the configuration with another rope type, in every layer type.

    Raises:
        ValueError: The class made another rope type of it.
    """
    plain = _build(cls, options)
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


def _build(cls: type, options: dict) -> object:
    return cls(**copy.deepcopy(options))


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
