"""What MLX supplies to the logic that all backends share."""

from collections.abc import Hashable, Mapping
from contextlib import nullcontext
from typing import Any, Final, NoReturn

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from tightrope.backends.kernels.gpu.source import angle_tensors
from tightrope.backends.mlx import dispatch as rotate
from tightrope.backends.mlx.export import compiled, exporting, shows_export
from tightrope.backends.shared import trig
from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.ops import UNREADABLE, Tables, Values
from tightrope.backends.shared.tables import host_tables
from tightrope.rope.errors import RopeConfigError, shortened


class MlxOps:
    """See `tightrope.backends.shared.ops.Ops`. Memory is shared by all devices, so arrays have no place."""

    framework: Final = "mlx"
    in_place: Final = False
    conversions: Final[Mapping[str, str]] = {
        "integers": "{x}.astype(mx.int64)", "sequence": "mx.array({x})", "numpy": "mx.array({x})",
        "torch": "mx.array({x}.numpy())",
    }  # fmt: skip

    def is_array(self, value: object) -> bool:
        return isinstance(value, mx.array)

    def is_float(self, array: mx.array) -> bool:
        return mx.issubdtype(array.dtype, mx.floating)

    def is_integer(self, array: mx.array) -> bool:
        return mx.issubdtype(array.dtype, mx.integer)

    def whole(self, array: mx.array, *, wait: bool) -> bool | None:
        if not wait and mx.default_device() != mx.Device(mx.cpu):
            return None
        try:
            return bool(mx.all((array % 1 == 0) & (mx.abs(array) < 2.0**62)).item())
        except ValueError:  # being traced
            return None

    def waits(self, array: mx.array) -> bool | None:
        return bool(mx.default_device() != mx.Device(mx.cpu))

    def where(self, condition: mx.array, a: mx.array, b: mx.array) -> mx.array:
        return mx.where(condition, a, b)

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
        # MLX counts in doubles, which hold every integer up to 2⁵³ only.
        return mx.arange(0, stop - start, dtype=mx.int64) + mx.array(start, dtype=mx.int64)

    def from_numpy(self, array: NDArray[np.int64 | np.float32], like: mx.array | None) -> mx.array:
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

    def broadcast(self, array: mx.array, shape: tuple[int, ...]) -> mx.array:
        return mx.broadcast_to(array, shape)

    def pairs_last(self, array: mx.array) -> mx.array:
        return mx.moveaxis(array, 0, -1)

    def largest_in_group(self, numbers: mx.array, group: Any) -> mx.array:
        if not isinstance(group, mx.distributed.Group):
            raise RopeConfigError(f"group must be an mx.distributed.Group, got {shortened(group)}")
        return mx.distributed.all_max(numbers, group=group)

    def sequence_is_sharded(self) -> bool:
        return False  # MLX shards tensors and layers; nothing in it knows of parts of a sequence

    def numbers(self, array: mx.array) -> list[int]:
        try:
            return np.array(array).reshape(-1).tolist()
        except ValueError as error:  # an array without a value: the call is being traced
            raise RopeConfigError(UNREADABLE) from error

    def refuse(self, reason: str) -> NoReturn:
        raise RopeConfigError(reason)

    def restarts(self, positions: mx.array) -> bool | None:
        if mx.default_device() != mx.Device(mx.cpu):
            return None
        try:
            return bool(mx.any(positions[:, 1:] <= positions[:, :-1]).item())
        except ValueError:  # being traced
            return None

    def document_lengths(self, positions: mx.array) -> mx.array:
        rows, seq = positions.shape
        last = mx.concatenate([positions[:, 1:] <= positions[:, :-1], mx.ones((rows, 1), dtype=mx.bool_)], axis=-1)
        ends = mx.cummin(mx.where(last, mx.arange(seq), seq), axis=-1, reverse=True)
        return mx.take_along_axis(positions, ends, axis=-1).astype(mx.int64) + 1

    def ends(self, positions: mx.array) -> list[int] | None:
        if mx.default_device() != mx.Device(mx.cpu):
            return None
        try:
            return self.numbers(self.int64(self.largest_by_row(positions)) + 1)
        except RopeConfigError:  # being traced
            return None

    def compiling(self) -> bool:
        return False  # mx.compile takes a Python integer for a constant and traces again for another

    def tables_in_graph(
        self, name: str, lengths: list[int], pairs: int, *, exact: bool, like: mx.array | None
    ) -> Tables:
        host = host_tables(name, tuple(lengths))
        return self.array(host.turns, like), self.array(host.attention_factors, like)

    def cos(self, array: mx.array) -> mx.array:
        return mx.cos(array)

    def sin(self, array: mx.array) -> mx.array:
        return mx.sin(array)

    def cos_sin(self, top: mx.array) -> tuple[mx.array, mx.array]:
        return _cos_sin(top)

    def table(self, phase: Phase) -> Table:
        with exporting() if shows_export() else nullcontext():  # positions may be constants
            return rotate.cos_sin(self, phase)

    def rotate(
        self, q: mx.array, k: mx.array | None, angles: Phase | Table, **how: Any
    ) -> tuple[mx.array, mx.array | None]:
        xs = (q,) if k is None else (q, k)
        if shows_export(*xs, *angle_tensors(angles).values()):
            with exporting():
                return rotate.rotate_pair(self, q, k, angles, **how)
        return rotate.rotate_pair(self, q, k, angles, **how)


@compiled
def _cos_sin(top: mx.array) -> tuple[mx.array, mx.array]:
    return trig.cos_sin(MlxOps(), top)
