"""The angles of one step, for all layers that have the same rope."""

from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any, Final

import mlx.core as mx

from tightrope.backends.mlx import operations
from tightrope.backends.mlx.export import constant, is_exporting, shows_export
from tightrope.backends.mlx.kernels import launch as kernel
from tightrope.backends.mlx.kernels.launch import Launch
from tightrope.backends.mlx.module import RotaryEmbedding
from tightrope.rope.config.rope import RopeConfig

_Key = tuple[int, int, int, mx.Device]
_Table = tuple[mx.array, mx.array]

# Positions up to here count on without passing 64 bits.
_FAR: Final = 2**62


class StepAngles:
    """Rotates for every layer of a model that has one rope, and computes its angles once a step.

    It remembers the last step by its first position, its number of tokens, the thread and the device: so it serves no
    other model, thread or device, and a step that goes back is another step. An offset that is an array is no step that
    could be told apart: its values may be unknown yet, and may change in place. Its angles are computed each time.

    Args:
        rope: With one rope, or of a layer.
    """

    def __init__(self, rope: RotaryEmbedding) -> None:
        self.rope = rope
        chosen = rope._chosen(None)
        self._by_device = chosen.by_device
        self._call = Launch(
            heads=1, angles=("cos", "sin"), layout=chosen.config.layout, side=chosen.config.side, transpose=False,
            seq_axis=2,
        )  # fmt: skip
        self._last: tuple[_Key, Callable[..., mx.array], _Table] | None = None
        self._by_kernel: Any = mx.compile(self._rotate)
        self._by_operations: Any = mx.compile(self._rotate_by_member)
        self._one_position: Any = mx.compile(self._angles)

    def __reduce__(self) -> tuple[Any, ...]:
        return StepAngles, (self.rope,)

    def rotated(self, x: mx.array, offset: int) -> mx.array:
        """Return x, (batch, heads, seq, width), rotated from the position offset on."""
        seq = x.shape[2]
        if is_exporting():  # a file takes nothing compiled, nor angles that were
            return self._rotate(x, *self._angles(offset, seq))
        key = offset, seq, get_ident(), mx.default_device()
        last = self._last  # read once: another thread may replace it
        if last is None or last[0] != key:
            last = self._last = key, *self._prepared(x, offset)
        return last[1](x, *last[2])

    def _prepared(self, x: mx.array, offset: int) -> tuple[Callable[..., mx.array], _Table]:
        """Return what rotates each layer of the step, and what it takes besides x."""
        table = self._computed(x, offset)
        if x.shape[2] > 1 or self._call.layout == "halves":
            return self._rotate, table
        if kernel.serves():
            return self._by_kernel, table
        return self._by_operations, operations.by_member(self._call, *table)

    def _computed(self, x: mx.array, offset: int) -> _Table:
        seq = x.shape[2]
        if seq > 1 or abs(offset) > _FAR or not self._by_device:
            return self._angles(offset, seq)
        table: _Table = self._one_position(mx.array([offset], dtype=mx.int64))
        return table

    def _angles(self, offset: int | mx.array, length: int = 1) -> _Table:
        (table,) = self.rope.angles(offset=offset, length=length, layer_type=self.rope.layer_type).values()
        return table.cos, table.sin

    def _rotate(self, x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
        return self.rope(x, angles=(cos, sin))

    def _rotate_by_member(self, x: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
        """Return x rotated by what `operations.by_member` returned: for one token MLX may differentiate it itself."""
        self.rope._checked_rope("q", x, None, "bhsd")
        if is_exporting() or shows_export(x):
            cos, sin = constant(cos), constant(sin)
        return operations.rotated(x, cos, sin, self._call, views=False)


class SharedSteps:
    """What the layers of one patched model share: an object for each of its ropes.

    Args:
        rotary: The keywords of `RotaryEmbedding`.
    """

    def __init__(self, rotary: Mapping[str, Any]) -> None:
        self._rotary = rotary
        self._steps: dict[RopeConfig, StepAngles] = {}

    def of(self, config: RopeConfig) -> StepAngles:
        """Return the one for layers with this rope."""
        if config not in self._steps:
            self._steps[config] = StepAngles(RotaryEmbedding(config, **self._rotary))
        return self._steps[config]
