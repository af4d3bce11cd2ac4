"""What MLX supplies to the logic that all backends share."""

from collections.abc import Hashable
from functools import partial
from typing import Any, Final

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from tightrope.backends import trig
from tightrope.backends.kernels.angles import Phase, Table
from tightrope.backends.mlx import fused, kernel, rotate
from tightrope.backends.ops import Values
from tightrope.rope.errors import RopeConfigError


class MlxOps:
    """See `tightrope.backends.ops.Ops`. Memory is shared by all devices, so arrays have no place."""

    framework: Final = "mlx"

    def is_array(self, value: object) -> bool:
        return isinstance(value, mx.array)

    def is_float(self, array: mx.array) -> bool:
        return mx.issubdtype(array.dtype, mx.floating)

    def is_integer(self, array: mx.array) -> bool:
        return mx.issubdtype(array.dtype, mx.integer)

    def index(self, array: mx.array) -> mx.array:
        return array if array.dtype in (mx.int32, mx.int64) else array.astype(mx.int64)

    def int32(self, array: mx.array) -> mx.array:
        return array.astype(mx.int32)

    def int64(self, array: mx.array) -> mx.array:
        # Also keeps uint64 away from int64: together they promote to float32.
        return array.astype(mx.int64)

    def float32(self, array: mx.array) -> mx.array:
        return array.astype(mx.float32)

    def arange(self, start: int, stop: int, like: mx.array | None) -> mx.array:
        return mx.arange(start, stop, dtype=mx.int64)

    def from_numpy(self, array: NDArray[np.int64], like: mx.array | None) -> mx.array:
        return mx.array(array)

    def filled(self, numbers: list[int], like: mx.array | None) -> mx.array:
        return mx.array(numbers, dtype=mx.int64)

    def place(self, like: mx.array | None) -> Hashable:
        return "mlx"

    def array(self, values: Values, like: mx.array | None) -> mx.array:
        return mx.array(np.frombuffer(values.raw, values.dtype).reshape(values.shape))

    def largest(self, array: mx.array) -> mx.array:
        return array.max().reshape(1)

    def largest_by_row(self, positions: mx.array) -> mx.array:
        if positions.shape[-1] == 0:
            return mx.full((positions.shape[1],), -1, dtype=positions.dtype)
        return positions.max(axis=(0, 2))

    def broadcast_rows(self, positions: mx.array, batch: int) -> mx.array:
        return mx.broadcast_to(positions, (positions.shape[0], batch, positions.shape[2]))

    def pairs_last(self, array: mx.array) -> mx.array:
        return mx.moveaxis(array, 0, -1)

    def numbers(self, array: mx.array) -> list[int]:
        try:
            return np.array(array).reshape(-1).tolist()
        except ValueError as error:  # an array without a value: the call is being traced
            raise RopeConfigError(
                "the frequencies follow the length, which a compiled graph cannot read from positions: give seq_len, "
                "or compute angles outside the graph and pass them in"
            ) from error

    def compiling(self) -> bool:
        return False  # mx.compile takes a Python integer for a constant and traces again for another

    def cos(self, array: mx.array) -> mx.array:
        return mx.cos(array)

    def sin(self, array: mx.array) -> mx.array:
        return mx.sin(array)

    def cos_sin(self, top: mx.array) -> tuple[mx.array, mx.array]:
        return _cos_sin(top)

    def table(self, phase: Phase) -> Table:
        return fused.cos_sin(phase) if kernel.serves() else trig.table(self, phase)

    def rotate(
        self, q: mx.array, k: mx.array | None, angles: Phase | Table, **how: Any
    ) -> tuple[mx.array, mx.array | None]:
        return rotate.rotate_pair(self, q, k, angles, **how)


@partial(mx.compile, shapeless=True)
def _cos_sin(top: mx.array) -> tuple[mx.array, mx.array]:
    return trig.cos_sin(MlxOps(), top)
