"""transformers' functions of frequencies: `ROPE_INIT_FUNCTIONS` and `dynamic_rope_update`."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from tightrope.backends.shared.ops import Array
from tightrope.backends.shared.positions import integers
from tightrope.backends.shared.rope_utils.framework import Framework
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError, RopeKeyError, shortened, suggestion
from tightrope.rope.frequencies import Frequencies, frequencies
from tightrope.rope.rope_utils import rope_of, values_of
from tightrope.rope.scaling import rope_types
from tightrope.rope.schedule import FrequencySchedule
from tightrope.rope.support.validation import is_whole

Parameters = tuple[Array, float]
InitFunction = Callable[..., Parameters]

_STATES: Final = "_tightrope_states"


class ParameterFunctions(Framework):
    """Frequencies as arrays of the framework, the same bits in each."""

    def parameters(
        self, rope_type: str, config: Any, device: Any = None, seq_len: Any = None, layer_type: str | None = None,
        *, head_dim_key: str | None = None,
    ) -> Parameters:  # fmt: skip
        """Return (inv_freq, attention_factor) of a configuration; every function of `ROPE_INIT_FUNCTIONS`.

        Args:
            rope_type: The function's name.
            config: See `tightrope.rope.rope_utils.model_of`.
            device: Where inv_freq is placed; None: the default device.
            seq_len: Tokens in context, an int or an array of one; read by dynamic NTK and LongRoPE alone. None: the
                original length.
            layer_type: Which rope, where there are several.
            head_dim_key: The attribute that holds the width of a head, where it is another than `head_dim`.

        Returns:
            inv_freq: float32 (rotary_dim // 2,), rounded once from the exact value; radians per position.
            attention_factor: Multiplies cos and sin.

        Raises:
            RopeKeyError: The rope block lacks a key.
            RopeConfigError: The configuration has another rope type, or something else is wrong with it.
        """
        source = config if head_dim_key is None else _with_head_dim(config, head_dim_key)
        return self.of_rope(rope_of(rope_type, source, layer_type), device, seq_len)

    def of_rope(self, rope: RopeConfig, device: Any = None, seq_len: Any = None) -> Parameters:
        """Return (inv_freq, attention_factor) of one rope; see `parameters`."""
        found = _frequencies(rope, seq_len)
        return self.on_device(found.inv_freq.astype(np.float32), device), found.attention_factor

    def dynamic_rope_update(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Return `forward(self, x, position_ids, layer_type=None)` with the frequencies of the length set before it.

        The module needs `config` and `rope_type` (by layer type, where there are several). For dynamic NTK and LongRoPE
        `inv_freq` and `attention_scaling` are set before each call, under the prefix `{layer_type}_` where a layer
        type is named. They follow the longest sequence of the batch, grow and are reset as in transformers:
        `FrequencySchedule` with policy `"transformers"`.
        """

        @functools.wraps(forward)
        def updated(module: Any, x: Array, position_ids: Array, layer_type: str | None = None) -> Any:
            self._update(module, x, position_ids, layer_type)
            return forward(module, x, position_ids, **({} if layer_type is None else {"layer_type": layer_type}))

        return updated

    def _update(self, module: Any, x: Array, position_ids: Array, layer_type: str | None) -> None:
        kind = module.rope_type if layer_type is None else module.rope_type[layer_type]
        states = vars(module).setdefault(_STATES, {})
        if layer_type not in states:
            schedule = FrequencySchedule(rope_of(kind, module.config, layer_type), "transformers")
            states[layer_type] = schedule, schedule.start
        schedule, state = states[layer_type]
        if schedule.fixed is not None:
            return
        where, _ = integers(self.ops, "position_ids", position_ids, x if self.ops.is_array(x) else None, "an integer")
        longest = 0 if 0 in where.shape else self.ops.numbers(self.ops.largest(where))[0] + 1
        choice, state = schedule.plan([longest], state)
        states[layer_type] = schedule, state
        found = frequencies(schedule.config, choice.lengths[0])
        prefix = "" if layer_type is None else f"{layer_type}_"
        inv_freq = self.on_device(found.inv_freq.astype(np.float32), getattr(x, "device", None))
        self.assign(module, f"{prefix}inv_freq", inv_freq)
        setattr(module, f"{prefix}attention_scaling", found.attention_factor)


class InitFunctions(Mapping[str, InitFunction]):
    """`ROPE_INIT_FUNCTIONS`: a function `(config, device=None, seq_len=None, layer_type=None)` for each rope type.

    A live view of the registered types, one's own included; `"default"`, too, which transformers 5 left out.
    """

    def __init__(self, utils: ParameterFunctions) -> None:
        self._utils = utils

    def __getitem__(self, rope_type: str) -> InitFunction:
        if rope_type not in rope_types():
            hint = suggestion(str(rope_type), rope_types()) or f"; known: {', '.join(rope_types())}"
            raise RopeKeyError(f"unknown rope_type {shortened(rope_type)}{hint}")
        return functools.partial(self._utils.parameters, rope_type)

    def __iter__(self) -> Iterator[str]:
        return iter(rope_types())

    def __len__(self) -> int:
        return len(rope_types())

    def __contains__(self, rope_type: object) -> bool:
        return rope_type in rope_types()


def _frequencies(rope: RopeConfig, seq_len: Any) -> Frequencies:
    if not rope.scaling.follows_length:
        return frequencies(rope)
    return frequencies(rope, rope.require_original_length() if seq_len is None else _length(seq_len))


def _length(seq_len: Any) -> int:
    """Return the one number that an int or an array holds."""
    try:
        number = seq_len.item() if hasattr(seq_len, "item") else seq_len
    except (ValueError, RuntimeError):  # several numbers
        number = None
    if not is_whole(number):
        raise RopeConfigError(f"seq_len must be a whole number, or an array of one, got {shortened(seq_len)}")
    return int(number)


def _with_head_dim(config: Any, key: str) -> Any:
    values = values_of(config) or {}
    if values.get(key) is None:
        raise RopeKeyError(f"{key} is required by head_dim_key and missing from the configuration")
    return {**values, "head_dim": values[key]}
