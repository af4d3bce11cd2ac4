"""What PyTorch supplies to the logic that all backends share."""

from collections.abc import Hashable, Mapping
from typing import Any, Final, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch._subclasses.fake_tensor import FakeTensor

from tightrope.backends.shared import trig
from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.ops import UNREADABLE, Tables, Values
from tightrope.backends.torch import custom_ops as operators
from tightrope.backends.torch.constants import constant_in_graphs, place_values
from tightrope.backends.torch.dispatch import rotate_pair
from tightrope.backends.torch.distributed.collectives import largest_in_group, sequence_is_sharded
from tightrope.backends.torch.distributed.dtensor import whole
from tightrope.backends.torch.kernels import cpu as native
from tightrope.backends.torch.kernels import gpu
from tightrope.rope.errors import RopeConfigError

_INTEGERS: Final = frozenset(
    {torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64}
)


class TorchOps:
    """See `tightrope.backends.shared.ops.Ops`."""

    framework: Final = "torch"
    in_place: Final = True
    conversions: Final[Mapping[str, str]] = {
        "integers": "{x}.long()", "sequence": "torch.tensor({x})", "numpy": "torch.from_numpy({x})",
        "mlx": "torch.from_dlpack({x})",
    }  # fmt: skip

    def is_array(self, value: object) -> bool:
        return isinstance(value, torch.Tensor)

    def is_float(self, array: torch.Tensor) -> bool:
        return array.is_floating_point()

    def is_integer(self, array: torch.Tensor) -> bool:
        return array.dtype in _INTEGERS

    def whole(self, array: torch.Tensor, *, wait: bool) -> bool | None:
        if self.place(array) is None or not (array.is_cpu or wait):
            return None
        whole: torch.Tensor = (array % 1 == 0) & (array.abs() < 2.0**62)
        return bool(whole.all())

    def waits(self, array: torch.Tensor) -> bool | None:
        if type(array) not in native.PLAIN or self.place(array) is None or array.is_meta:
            return None
        if array.is_cuda and torch.cuda.is_current_stream_capturing():
            return None
        return not array.is_cpu

    def where(self, condition: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.where(condition, a, b)

    def index(self, array: torch.Tensor) -> torch.Tensor:
        array = whole(array)
        return array if array.dtype in (torch.int32, torch.int64) else array.to(torch.int64)

    def int32(self, array: torch.Tensor) -> torch.Tensor:
        return array.to(torch.int32)

    def int64(self, array: torch.Tensor) -> torch.Tensor:
        return array.to(torch.int64)

    def float32(self, array: torch.Tensor) -> torch.Tensor:
        return array.to(torch.float32)

    def arange(self, start: int, stop: int, like: torch.Tensor | None) -> torch.Tensor:
        return torch.arange(start, stop, dtype=torch.int64, device=_device(like))

    def from_numpy(self, array: NDArray[np.int64 | np.float32], like: torch.Tensor | None) -> torch.Tensor:
        return torch.from_numpy(array).to(_device(like))

    def filled(self, numbers: list[int], like: torch.Tensor | None) -> torch.Tensor:
        return torch.cat([torch.full((1,), number, dtype=torch.int64, device=_device(like)) for number in numbers])

    def place(self, like: torch.Tensor | None) -> Hashable:
        # What is made while a dispatch mode (fake tensors) or a function transform is active belongs to it.
        if torch.compiler.is_compiling() or isinstance(like, FakeTensor):
            return None
        if torch._C._len_torch_dispatch_stack() or torch._C._are_functorch_transforms_active():
            return None
        return _device(like)

    def array(self, values: Values, like: torch.Tensor | None) -> torch.Tensor:
        if torch.compiler.is_dynamo_compiling():
            name = _constant_name(values.raw, values.dtype, values.shape, _device(like))
            constant: torch.Tensor = getattr(_CONSTANTS, name)
            return constant
        return place_values(values, _device(like))

    def largest(self, array: torch.Tensor) -> torch.Tensor:
        return array.amax().reshape(1)

    def largest_by_row(self, positions: torch.Tensor) -> torch.Tensor:
        if positions.shape[-1] == 0:
            return positions.new_full(positions.shape[1:2], -1)
        return positions.amax(dim=(0, 2))

    def broadcast(self, array: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        return array.expand(shape)

    def pairs_last(self, array: torch.Tensor) -> torch.Tensor:
        return array.movedim(0, -1)

    def largest_in_group(self, numbers: torch.Tensor, group: Any) -> torch.Tensor:
        return largest_in_group(numbers, group)

    def sequence_is_sharded(self) -> bool:
        return bool(sequence_is_sharded())

    def numbers(self, array: torch.Tensor) -> list[int]:
        if torch.compiler.is_compiling():
            self.refuse(UNREADABLE)
        return [int(number) for number in array.tolist()]

    def refuse(self, reason: str) -> NoReturn:
        _refuse(reason)
        raise RopeConfigError(reason)  # not reached; the decorator took the type that says so

    def restarts(self, positions: torch.Tensor) -> bool | None:
        if self.place(positions) is None or not positions.is_cpu:
            return None
        return bool((positions[:, 1:] <= positions[:, :-1]).any())

    def document_lengths(self, positions: torch.Tensor) -> torch.Tensor:
        rows, seq = positions.shape
        last = torch.cat((positions[:, 1:] <= positions[:, :-1], positions.new_ones((rows, 1), dtype=torch.bool)), -1)
        index = torch.arange(seq, device=positions.device).expand(rows, -1)
        ends = torch.where(last, index, seq).flip(-1).cummin(-1).values.flip(-1)
        return positions.gather(-1, ends).to(torch.int64) + 1

    def ends(self, positions: torch.Tensor) -> list[int] | None:
        if self.place(positions) is None or not positions.is_cpu:
            return None
        ends: list[int] = (self.largest_by_row(positions).to(torch.int64) + 1).tolist()
        return ends

    def compiling(self) -> bool:
        return torch.compiler.is_compiling()

    def tables_in_graph(
        self, name: str, lengths: list[int], pairs: int, *, exact: bool, like: torch.Tensor | None
    ) -> Tables:
        tables: Tables = operators.tables(torch.empty(0, device=_device(like)), name, lengths, pairs, exact)
        return tables

    def cos(self, array: torch.Tensor) -> torch.Tensor:
        return array.cos()

    def sin(self, array: torch.Tensor) -> torch.Tensor:
        return array.sin()

    def cos_sin(self, top: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return trig.cos_sin(self, top)

    def table(self, phase: Phase) -> Table:
        kernel = native.serving((), phase) or gpu.serving((), phase)
        if kernel is not None:
            return kernel.cos_sin(phase)
        if operators.serve(phase.positions):
            return operators.table(phase)
        return trig.table(self, phase)

    rotate = rotate_pair


def _device(like: torch.Tensor | None) -> torch.device:
    device: torch.device = torch.get_default_device() if like is None else like.device
    return device


class _Constants:
    """The tensors that compiled graphs take for given, as attributes: dynamo looks each up and guards it by itself.

    A constant result of `assume_constant_result` would not do: dynamo tells two of them apart by the function's name.
    """


_CONSTANTS: Final = _Constants()
_CONSTANT_NAMES: Final[dict[tuple[Values, torch.device], str]] = {}


@constant_in_graphs
def _constant_name(raw: bytes, dtype: str, shape: tuple[int, ...], device: torch.device) -> str:
    """Return the attribute of `_CONSTANTS` that holds these values on that device; runs while a graph is made."""
    values = Values(raw, dtype, shape)
    if (values, device) not in _CONSTANT_NAMES:
        name = f"constant_{len(_CONSTANT_NAMES)}"
        setattr(_CONSTANTS, name, place_values(values, device))
        _CONSTANT_NAMES[values, device] = name
    return _CONSTANT_NAMES[values, device]


# A constant, so that it runs, and raises, while a graph is made.
@constant_in_graphs
def _refuse(reason: str) -> NoReturn:
    raise RopeConfigError(reason)
