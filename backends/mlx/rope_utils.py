"""The names of `transformers.modeling_rope_utils`, and of the modeling files written for it, on MLX.

A modeling file changes its import line and its array calls. New code takes `tightrope.backends.mlx.RotaryEmbedding`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from numpy.typing import NDArray

from tightrope.backends.mlx import module
from tightrope.backends.mlx.ops import MlxOps
from tightrope.backends.shared.ops import Ops
from tightrope.backends.shared.rope_utils import InitFunctions, RopeUtils, configured
from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.rope_utils import RopeParameters, RotaryEmbeddingConfigMixin, rope_config_validation

__all__ = [
    "ROPE_INIT_FUNCTIONS", "RopeParameters", "RotaryEmbedding", "RotaryEmbeddingConfigMixin",
    "apply_multimodal_rotary_pos_emb", "apply_rotary_emb", "apply_rotary_pos_emb", "apply_rotary_pos_emb_interleave",
    "dynamic_rope_update", "precompute_freqs_cis", "rope_config_validation", "rotate_half",
]  # fmt: skip


class _Names(RopeUtils):
    ops: ClassVar[Ops] = MlxOps()
    rotary = module.RotaryEmbedding
    rotate = staticmethod(module.rotate)

    def concatenate(self, arrays: Sequence[mx.array]) -> mx.array:
        return mx.concatenate(list(arrays), axis=-1)

    def interleave(self, first: mx.array, second: mx.array) -> mx.array:
        return mx.flatten(mx.stack([first, second], axis=-1), -2)

    def parts(self, array: mx.array) -> tuple[mx.array, mx.array]:
        return mx.real(array), mx.imag(array)

    def on_device(self, array: NDArray[np.float32], device: Any) -> mx.array:
        _check_device(device)
        return mx.array(array)

    def assign(self, module: Any, name: str, value: mx.array) -> None:
        # An array set in the usual way becomes a parameter, which optimizers train and checkpoints ask for.
        module.pop(name, None)
        object.__setattr__(module, name, value)


_names: Final = _Names()

ROPE_INIT_FUNCTIONS: Final = InitFunctions(_names)
_compute_default_rope_parameters = ROPE_INIT_FUNCTIONS["default"]
_compute_linear_scaling_rope_parameters = ROPE_INIT_FUNCTIONS["linear"]
_compute_dynamic_ntk_parameters = ROPE_INIT_FUNCTIONS["dynamic"]
_compute_yarn_parameters = ROPE_INIT_FUNCTIONS["yarn"]
_compute_longrope_parameters = ROPE_INIT_FUNCTIONS["longrope"]
_compute_llama3_parameters = ROPE_INIT_FUNCTIONS["llama3"]
_compute_proportional_rope_parameters = ROPE_INIT_FUNCTIONS["proportional"]

dynamic_rope_update = _names.dynamic_rope_update
rotate_half = _names.rotate_half
apply_rotary_pos_emb = _names.apply_rotary_pos_emb
apply_rotary_pos_emb_interleave = _names.apply_rotary_pos_emb_interleave
apply_multimodal_rotary_pos_emb = _names.apply_multimodal_rotary_pos_emb
precompute_freqs_cis = _names.precompute_freqs_cis
apply_rotary_emb = _names.apply_rotary_emb


def _check_device(device: Any) -> None:
    if device is not None:
        raise RopeConfigError(f"device must be None: arrays of MLX have no device, got {shortened(device)}")


class RotaryEmbedding(nn.Module):
    """A rotary module with transformers' call: `(x, position_ids, layer_type=None)` → cos, sin at full width.

    The phases are exact, whatever the dtype of x; each row follows its own length (policy `"row"`). Nothing in it is a
    parameter.

    Args:
        config: See `tightrope.rope.rope_utils.model_of`.
        device: None: arrays of MLX have no device.
        rotary: `precision`, `policy` and `switch` of `tightrope.backends.mlx.RotaryEmbedding`.
    """

    def __init__(self, config: Any = None, device: Any = None, **rotary: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # MLX leaves it untyped
        _check_device(device)
        self._rope = module.RotaryEmbedding(configured(config, rotary), **rotary)
        self._config = config

    @property
    def config(self) -> Any:
        """The configuration that was given."""
        return self._config

    @property
    def inv_freq(self) -> mx.array:
        """The frequencies up to the original length, float32 (rotary_dim // 2,), radians per position."""
        inv_freq: mx.array = _names.of_rope(self._rope.model.rope())[0]
        return inv_freq

    @property
    def attention_scaling(self) -> float:
        """The attention factor at these frequencies, which cos and sin contain."""
        return _names.of_rope(self._rope.model.rope())[1]

    def __call__(self, x: mx.array, position_ids: mx.array, layer_type: str | None = None) -> tuple[mx.array, mx.array]:
        """Return cos and sin, (batch, seq, rotary_dim) each, in the dtype of x.

        Args:
            x: The hidden states, which give the dtype.
            position_ids: (batch, seq), or (axes, batch, seq) for M-RoPE.
            layer_type: Which rope; needed where there are several.
        """
        several = len(self._rope.model.ropes) > 1
        cos, sin = self._rope.cos_sin(position_ids, layer_type=layer_type if several else None)
        cos, sin = (_names.concatenate((part, part)).astype(x.dtype) for part in (cos, sin))
        return cos, sin
