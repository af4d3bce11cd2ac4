"""`MLXRope`: a rope with the call of mlx-lm's, `rope(x, offset)`, that rotates as the model's configuration says."""

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from tightrope.backends.mlx.mlx_lm.step import StepAngles
from tightrope.backends.mlx.module import RotaryEmbedding, rotate
from tightrope.backends.shared.arguments import batch_and_seq, check_rotatable
from tightrope.backends.shared.positions import find_positions
from tightrope.rope.config.description import describe
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.frequencies import frequencies
from tightrope.rope.support.validation import is_number


class MLXRope(nn.Module):
    """A rope for mlx-lm's attention. It has no parameters; of a call it keeps the angles, for other layers of its step.

    Args:
        model: What `tightrope.read` returned, or a single `RopeConfig`.
        layer: The layer of the model that it rotates; needed where the model has several ropes.
        step: What layers with this rope share, in place of the arguments after it; by default its own.
        precision: See `RotaryEmbedding`.
        policy: See `RotaryEmbedding`.
        switch: See `RotaryEmbedding`.
    """

    def __init__(
        self, model: ModelRope | RopeConfig, layer: int | None = None, *, step: StepAngles | None = None, **rotary: Any
    ) -> None:  # fmt: skip
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in mlx
        whole = RotaryEmbedding(model, **rotary) if step is None else step.rope
        rope: Any = whole if layer is None else whole.for_layer(layer)
        if rope is None:
            raise RopeConfigError(f"layer {layer} has no position embedding, so there is no rope for it")
        # An underscore: mlx counts every other module and array of a module among its parameters.
        self._rope = rope
        self._config: RopeConfig = rope.model.rope(rope.layer_type)
        self._step = StepAngles(rope) if step is None else step

    @property
    def config(self) -> RopeConfig:
        """The rope that it rotates by."""
        return self._config

    def __call__(
        self, x: mx.array, offset: int | mx.array = 0, scale: float = 1.0, inverse: bool = False,
        *, positions: mx.array | None = None,
    ) -> mx.array:  # fmt: skip
        """Return x rotated, in its own dtype.

        Args:
            x: (batch, heads, seq, width) or (batch, seq, width).
            offset: The position of the first token: an int, or an integer array (), (1,) or (batch,), also negative.
            scale: Multiplies the positions; a whole number.
            inverse: Undo the rotation, attention factor and all.
            positions: (batch, seq), or (axes, batch, seq) for M-RoPE, in place of offset.
        """
        if not isinstance(x, mx.array):
            raise RopeConfigError(f"x must be an mlx array, got {type(x).__name__}")
        if type(offset) is int and positions is None and scale == 1 and not inverse and x.ndim == 4:
            return self._step.rotated(x, offset)
        if x.ndim == 3:
            return self(x[:, None], offset, scale, inverse, positions=positions)[:, 0]
        if scale != 1 or inverse:
            return self._general(x, offset, scale, inverse, positions)
        if positions is not None:
            rotated: mx.array = self._rope(x, positions=positions)
        else:
            rotated = self._rope(x, offset=offset)
        return rotated

    def _general(
        self, x: mx.array, offset: int | mx.array, scale: float, inverse: bool, positions: mx.array | None
    ) -> mx.array:
        check_rotatable(self._rope.ops, "x", x, self._config.pairs, "bhsd")
        if not is_number(scale) or not float(scale).is_integer():
            raise RopeConfigError(f"scale must be a whole number, so that positions stay whole, got {shortened(scale)}")
        ops, given = self._rope.ops, offset if positions is None else None
        where = find_positions(ops, self._config, positions, given, batch_and_seq(x, "bhsd")[1], x).values
        # Widened first: a narrow dtype does not hold the product.
        cos, sin = self._rope.cos_sin((where if ops.is_float(where) else ops.int64(where)) * int(scale))
        if inverse:
            # cos and sin hold the attention factor g, so (g R)⁻¹ = (g R)ᵀ / g².
            gain = frequencies(self._config, self._config.original_length).attention_factor ** 2
            cos, sin = cos / gain, sin / gain
        rotated: mx.array = rotate(
            x, cos=cos, sin=sin, layout=self._config.layout, side=self._config.side, transpose=inverse,
            rotary_dim=self._config.rotary_dim,
        )  # fmt: skip
        return rotated

    def _extra_repr(self) -> str:
        return describe(self._config)
