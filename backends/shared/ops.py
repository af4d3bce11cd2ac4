"""The few operations that a framework supplies; everything else is written once, on them.

Arrays of both frameworks share arithmetic, comparison, shift and bit operators, indexing, `reshape` and `shape`.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tightrope.backends.shared.angles import Phase, Table
from tightrope.rope.config.terms import Layout, Side

Array: TypeAlias = Any
"""An array of the framework at hand."""

Order = Literal["bhsd", "bshd", "sbhd", "thd"]
"""What the axes of q and k are: batch, heads, seq, width, in one of three orders; or packed tokens, heads, width."""


@dataclass(frozen=True)
class Values:
    """A numpy array in a form that compilers take for a constant."""

    raw: bytes
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, array: NDArray[Any]) -> Self:
        """Return the values of array."""
        return cls(array.tobytes(), array.dtype.name, array.shape)


UNREADABLE: Final = (
    "the frequencies follow the length, which a compiled graph cannot read from positions: give seq_len, or compute "
    "angles outside the graph and pass them in"
)

Tables = tuple[Array, Array]
"""turns and attention_factors, see `tables.DeviceTables`."""


class Ops(Protocol):
    """A framework's primitives."""

    @property
    def framework(self) -> str:
        """The framework's name, for messages."""

    @property
    def conversions(self) -> Mapping[str, str]:
        """How to convert `{x}`, for messages: to integers, from a list ("sequence"), from another library."""

    @property
    def in_place(self) -> bool:
        """Whether arrays can be written to: `rotate` then takes `in_place`."""

    def is_array(self, value: object) -> bool:
        """Return whether value is an array of this framework."""

    def is_float(self, array: Array) -> bool:
        """Return whether the dtype is real floating point."""

    def is_integer(self, array: Array) -> bool:
        """Return whether the dtype is an integer, bool excluded."""

    def whole(self, array: Array, *, wait: bool) -> bool | None:
        """Return whether all floats are integers below 2⁶² in magnitude; None where the host cannot read them.

        Nor does it where it would have to wait for a device, unless it may.
        """

    def waits(self, array: Array) -> bool | None:
        """Return whether the host waits for a device when it reads values; None where it cannot read them."""

    def where(self, condition: Array, a: Array, b: Array) -> Array:
        """Return a where the condition holds, else b; broadcast."""

    def index(self, array: Array) -> Array:
        """Return integers as int32 or int64: as they are, or widened."""

    def int32(self, array: Array) -> Array:
        """Return the values as int32."""

    def int64(self, array: Array) -> Array:
        """Return integers as int64."""

    def float32(self, array: Array) -> Array:
        """Return the values as float32."""

    def arange(self, start: int, stop: int, like: Array | None) -> Array:
        """Return the int64 numbers from start to below stop, on the device of `like`, or the default one."""

    def from_numpy(self, array: NDArray[np.int64 | np.float32], like: Array | None) -> Array:
        """Return the numbers in their dtype on the device of `like`, or the default one."""

    def filled(self, numbers: list[int], like: Array | None) -> Array:
        """Return the numbers as int64 (len,); numbers that vary between calls leave a compiled graph as it is."""

    def place(self, like: Array | None) -> Hashable:
        """Return the device of `like`, or the default one; None where arrays made now must not be kept for later."""

    def array(self, values: Values, like: Array | None) -> Array:
        """Return values as an array on the device of `like`; inside a compiled graph a constant of it."""

    def largest(self, array: Array) -> Array:
        """Return the maximum: (1,)."""

    def largest_by_row(self, positions: Array) -> Array:
        """Return the maximum of (axes, batch, seq) over axes and seq: (batch,); −1 where seq is 0."""

    def broadcast(self, array: Array, shape: tuple[int, ...]) -> Array:
        """Return array with its axes of length 1 stretched to shape."""

    def pairs_last(self, array: Array) -> Array:
        """Return (pairs, batch, seq) as (batch, seq, pairs)."""

    def largest_in_group(self, numbers: Array, group: Any) -> Array:
        """Return the maximum of each of int64 (n,) over all processes of a group.

        Raises:
            RopeConfigError: It is no group of this framework.
        """

    def sequence_is_sharded(self) -> bool:
        """Return whether the framework has been set up so that each process has a part of the sequence."""

    def numbers(self, array: Array) -> list[int]:
        """Return the integers on the host.

        Raises:
            RopeConfigError: Inside a compiled graph, which has no values yet.
        """

    def refuse(self, reason: str) -> NoReturn:
        """Raise RopeConfigError, also where a graph is being made."""

    def restarts(self, positions: Array) -> bool | None:
        """Return whether a row of (batch, seq) holds a position that is not larger than the one before it.

        None where the host cannot read them without waiting for a device.
        """

    def document_lengths(self, positions: Array) -> Array:
        """Return the largest position + 1 of each token's document, see `schedule.document_lengths`: int64."""

    def ends(self, positions: Array) -> list[int] | None:
        """Return the largest of (axes, batch, seq) + 1 by row, if the host can read it without waiting for a device."""

    def compiling(self) -> bool:
        """Return whether the call is being traced into a graph, where a Python integer may stand for many values."""

    def tables_in_graph(self, name: str, lengths: list[int], pairs: int, *, exact: bool, like: Array | None) -> Tables:
        """Return `turns` and `attention_factors` of `tables.host_tables(name, lengths)`, computed when the graph runs.

        Called where `compiling` says so.
        """

    def cos(self, array: Array) -> Array:
        """Return the cosine."""

    def sin(self, array: Array) -> Array:
        """Return the sine."""

    def cos_sin(self, top: Array) -> tuple[Array, Array]:
        """Return `trig.cos_sin`, as one piece of work where the framework can make it one."""

    def table(self, phase: Phase) -> Table:
        """Return cos and sin of exact phases, by the fastest code for them."""

    def rotate(
        self, q: Array, k: Array | None, angles: Phase | Table,
        *, layout: Layout, side: Side, order: Order, transpose: bool,
    ) -> tuple[Array, Array | None]:  # fmt: skip
        """Return q and k rotated, by the fastest code for them; what does not rotate keeps its bits.

        Where arrays can be written to, `in_place=True` writes the result into q and k.
        """
