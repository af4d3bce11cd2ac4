"""Tables of frequencies on devices: made from the configuration, kept for the next call, never loaded."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Final, Generic, Self, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from tightrope.backends.shared.ops import Array, Ops, Values
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import Frequencies, Precision, frequencies
from tightrope.rope.schedule import TableChoice

_Value = TypeVar("_Value")


class Store(Generic[_Value]):
    """A mapping that holds the most recently used `size` values."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, _Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> _Value | None:
        """Return the value, None where there is none (any more)."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def __setitem__(self, key: Hashable, value: _Value) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)


# Plans of recent lengths: enough for the layers of a step and for a few steps in flight on several threads.
_RECENT: Final = 64

_Made = TypeVar("_Made")
TableLengths = tuple[int | None, ...]
"""The length whose frequencies each table holds; None for a type that follows none."""


@dataclass(frozen=True)
class HostTables:
    """Tables of frequencies on the host.

    Attributes:
        turns: (tables, pairs): the bits of `rope.phase.turns` as int64; float32 inv_freq under precision "float32".
        attention_factors: (tables,) float32: the attention factor of each table.
        unscaled: Every gain is 1.
    """

    turns: Values
    attention_factors: Values
    unscaled: bool

    @classmethod
    def at(cls, config: RopeConfig, lengths: TableLengths, precision: Precision) -> Self:
        """Return one table per length; None stands for the length of a type that follows none."""
        tables = [frequencies(config, length, precision=precision) for length in lengths]
        turns = [table.turns.view(np.int64) if precision == "exact" else table.inv_freq for table in tables]
        attention_factors = np.array([table.attention_factor for table in tables], np.float32)
        return cls(Values.of(np.stack(turns)), Values.of(attention_factors), bool((attention_factors == 1).all()))


@dataclass(frozen=True, eq=False)
class DeviceTables:
    """`HostTables` on a device, and which table each batch row takes.

    Attributes:
        turns: See `HostTables`.
        attention_factors: See `HostTables`.
        unscaled: See `HostTables`.
        rows: (rows,) int32; None: all rows take the first.
    """

    turns: Array
    attention_factors: Array
    unscaled: bool
    rows: Array | None = None


class TableCache:
    """The tables of one rope on the devices where they were used.

    Args:
        ops: The framework.
        config: The rope.
        precision: See `HostTables`.
        known: Tables that are there for good; a compiler takes them for constants.
    """

    def __init__(self, ops: Ops, config: RopeConfig, precision: Precision, known: list[TableLengths]) -> None:
        self._ops = ops
        self._config = config
        self._precision = precision
        self._host = {lengths: HostTables.at(config, lengths, precision) for lengths in known}
        pair_axes = config.mrope.pair_axes(config.pairs) if config.mrope else ()
        self._axes = Values.of(np.array(pair_axes, np.int32))
        self._named = _named(config, precision)
        self._kept: dict[Hashable, Any] = {}
        self._recent: Store[DeviceTables] = Store(_RECENT)

    def known(self, lengths: TableLengths, like: Array | None) -> DeviceTables:
        """Return tables that were known from the start."""
        return self._keep(self._kept, lengths, like, lambda: self._placed(self._host[lengths], like))

    def planned(self, plan: TableChoice, like: Array | None) -> DeviceTables:
        """Return the tables of a plan, and which row takes which."""
        return self._keep(self._recent, plan, like, lambda: self._planned(plan, like))

    def traced(self, lengths: list[int], like: Array | None) -> DeviceTables:
        """Return a table for each row, by lengths that are known only when the graph in the making runs."""
        exact = self._precision == "exact"
        turns, attention_factors = self._ops.tables_in_graph(
            self._named.name, lengths, self._config.pairs, exact=exact, like=like
        )
        rows = None if len(lengths) == 1 else self._ops.int32(self._ops.arange(0, len(lengths), like))
        return DeviceTables(turns, attention_factors, unscaled=False, rows=rows)

    def between(self, old: Frequencies, new: Frequencies, like: Array | None) -> DeviceTables:
        """Return the table that leads from old to new: R(new) R(old)⁻¹ is a rotation by the difference.

        It is taken in 64 bits, before anything is rounded; the attention factor changes by new / old.
        """
        return self._keep(self._recent, (old, new), like, lambda: self._placed(_difference(old, new), like))

    @staticmethod
    def unscaled(tables: DeviceTables) -> DeviceTables:
        """Return the tables with attention factors of 1."""
        return replace(tables, attention_factors=tables.attention_factors / tables.attention_factors, unscaled=True)

    def axes(self, like: Array | None) -> Array:
        """Return (pairs,) int32: the position axis that rotates each pair."""
        return self._keep(self._kept, "axes", like, lambda: self._ops.array(self._axes, like))

    def _planned(self, plan: TableChoice, like: Array | None) -> DeviceTables:
        host = HostTables.at(self._config, plan.lengths, self._precision)
        rows = None if plan.rows is None else self._ops.array(Values.of(np.array(plan.rows, np.int32)), like)
        return self._placed(host, like, rows)

    def _placed(self, host: HostTables, like: Array | None, rows: Array | None = None) -> DeviceTables:
        return DeviceTables(
            self._ops.array(host.turns, like), self._ops.array(host.attention_factors, like), host.unscaled, rows
        )

    def _keep(
        self, kept: dict[Hashable, Any] | Store[Any], key: Hashable, like: Array | None, make: Callable[[], _Made]
    ) -> _Made:
        place = self._ops.place(like)
        if place is None:
            return make()
        found: _Made | None = kept.get((key, place))
        if found is None:
            found = kept[key, place] = make()
        return found


def _difference(old: Frequencies, new: Frequencies) -> HostTables:
    turns = (new.turns - old.turns).view(np.int64)[None]
    gain = np.array([new.attention_factor / old.attention_factor], np.float32)
    return HostTables(Values.of(turns), Values.of(gain), bool(gain[0] == 1))


class _Named:
    """A rope that a graph may know by name; there as long as a module that has it."""

    def __init__(self, config: RopeConfig, precision: Precision) -> None:
        self.config = config
        self.precision = precision
        self.name = hashlib.sha256(repr((config, precision)).encode()).hexdigest()[:16]


# What a graph knows a rope by: the same name for equal ropes, in every process that runs the graph.
_NAMED: Final[WeakValueDictionary[str, _Named]] = WeakValueDictionary()


def _named(config: RopeConfig, precision: Precision) -> _Named:
    made = _Named(config, precision)
    return _NAMED.setdefault(made.name, made)


def host_tables(name: str, lengths: tuple[int, ...]) -> HostTables:
    """Return the tables of the rope that a graph knows by that name, one per length.

    Raises:
        RopeConfigError: No module of this process has such a rope.
    """
    rope = _NAMED.get(name)
    if rope is None:
        raise RopeConfigError(
            "this graph follows the length of a rope that no RotaryEmbedding of this process has: make one, and keep it"
        )
    keys = tuple(rope.config.scaling.effective_length(rope.config, length) for length in lengths)
    return HostTables.at(rope.config, keys, rope.precision)
