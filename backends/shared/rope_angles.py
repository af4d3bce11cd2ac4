"""One rope at work: which of its frequencies hold for which row, and the angles of given positions."""

from dataclasses import replace
from threading import Lock
from typing import Any, Final

from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.arguments import RowLengths, check_lengths, count
from tightrope.backends.shared.declared import declared_lengths, length_is_elsewhere
from tightrope.backends.shared.ops import Array, Ops
from tightrope.backends.shared.positions import Positions
from tightrope.backends.shared.tables import DeviceTables, TableCache, TableLengths
from tightrope.backends.shared.trig import by_pair, difference_table, product_table
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import Frequencies, Precision
from tightrope.rope.schedule import FrequencySchedule

_HISTORY: Final = (
    "policy 'transformers' keeps a history, which a compiled graph cannot: compute angles outside the graph and pass "
    "them in, or choose policy 'row'"
)

_EVERY_LENGTH: Final[TableLengths] = (None,)

Parts = tuple[Array, Array, Array | None] | None
"""turns, attention_factors and rows, see `DeviceTables`."""


class RopeAngles:
    """A rope with its schedule, the schedule's state, and the tables it has placed on devices.

    A copy, also through pickle, has the state and makes its own tables.
    """

    def __init__(self, ops: Ops, schedule: FrequencySchedule, precision: Precision, state: int | None = None) -> None:
        self.config = schedule.config
        self.schedule = schedule
        self._ops = ops
        self._precision = precision
        self._state = schedule.start if state is None else state
        self._advancing = Lock()
        self._tables = TableCache(ops, schedule.config, precision, _known(schedule))
        # Coordinates are no integers: their angles cannot be exact, and are float32 whatever the precision.
        self._fractions = self._tables
        if schedule.config.fractional:
            self._fractions = TableCache(ops, schedule.config, "float32", [_EVERY_LENGTH])

        self._prepared: tuple[int | None, Parts, Parts] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return RopeAngles, (self._ops, self.schedule, self._precision, self._state)

    def source(self, positions: Positions, lengths: RowLengths | None, like: Array | None) -> Phase | Table:
        """Return the angles at positions: a phase where they are exact, else a table.

        Args:
            positions: See `Positions`.
            lengths: Tokens in context, for all rows or one per row, also where positions are the same in each; None: as
                declared for this block of code, else by the positions.
            like: An array on whose device the angles are wanted.
        """
        if self._ops.is_float(positions.values):
            return self._mixed(positions.values, lengths, like)
        if lengths is None and not self.schedule.fixed:
            lengths = declared_lengths(self._ops, positions, like)
            if lengths is None and self._may_be_packed(positions):
                return self._by_document(positions.values, like)
        if lengths is not None and positions.values.shape[1] == 1:
            positions = positions.in_rows(self._ops, count(lengths))
        self._check(positions, lengths)
        tables = self._tables_for(positions, lengths, like)
        return self._at(positions.values, tables, like)

    @property
    def by_device(self) -> bool:
        """Whether the device chooses the frequencies, whatever the positions: the host need not read them."""
        return self.schedule.fixed is not None or self.schedule.boundary is not None

    def prepared(self, end: int | None, like: Array) -> Parts:
        """Return turns, attention factors and rows for a call without checks; None where there is more to decide.

        Nothing is looked up but what the first such call has kept, so `like` must always be on one device.

        Args:
            end: The largest position + 1, where the host knows it.
            like: An array on the device where they are wanted.
        """
        kept = self._prepared
        if kept is None:
            kept = self._prepared = self._prepare(like)
        boundary, below, beyond = kept
        if boundary is None:
            return below
        if end is None or length_is_elsewhere(self._ops):
            return None
        return beyond if end > boundary else below

    def _prepare(self, like: Array) -> tuple[int | None, Parts, Parts]:
        fixed, boundary = self.schedule.fixed, self.schedule.boundary
        if self._precision != "exact" or (fixed is None and boundary is None):
            return None, None, None
        if boundary is None:
            tables = self._tables.known(fixed.lengths if fixed else _EVERY_LENGTH, like)
            parts = tables.turns, tables.attention_factors, None
            return None, parts, parts
        tables = self._tables.known((boundary, boundary + 1), like)
        first, second = (self._ops.int32(self._ops.filled([number], like)) for number in (0, 1))
        both = tables.turns, tables.attention_factors
        return boundary, (*both, first), (*both, second)

    def _may_be_packed(self, positions: Positions) -> bool:
        """Return whether a row may hold several documents, each with its own length."""
        axes, _, seq = positions.values.shape
        if self.schedule.policy != "row" or axes > 1 or seq < 2 or positions.restarts is False:
            return False
        known = self._ops.restarts(positions.values[0]) if positions.restarts is None else positions.restarts
        if known is None:  # a search through a row is nothing that a compiler fuses
            return not self._ops.compiling()
        return known

    def _by_document(self, values: Array, like: Array | None) -> Table:
        """Return the angles of (1, batch, seq), the frequencies of each token by the length of its document."""
        _, batch, seq = values.shape
        lengths = self._ops.document_lengths(values[0]).reshape(-1)
        table = self.table(self.source(Positions(values.reshape(1, -1, 1)), lengths, like))
        return Table(cos=table.cos.reshape(batch, seq, -1), sin=table.sin.reshape(batch, seq, -1))

    def _mixed(self, values: Array, lengths: RowLengths | None, like: Array | None) -> Table:
        """Return the angles of positions that may be fractions: exact where they are whole numbers, else float32."""
        ops = self._ops
        products = self._products(ops.float32(values), self._fractions.known(_EVERY_LENGTH, like), like)
        if self._precision != "exact":
            return products
        exact = self.table(self.source(Positions(ops.int64(values)), lengths, like))
        whole = by_pair(ops, (values % 1 == 0) & (abs(values) < 2.0**62), self._axes(values, like))
        return Table(cos=ops.where(whole, exact.cos, products.cos), sin=ops.where(whole, exact.sin, products.sin))

    def shifted(self, delta: Array, seq: int, lengths: RowLengths | None, like: Array) -> Phase | Table:
        """Return the angles by which keys rotate when they move by delta positions.

        Args:
            delta: (1, batch or 1, 1).
            seq: How many keys a row has.
            lengths: Tokens in context when the keys were rotated; read only where the frequencies follow it.
            like: An array on whose device the angles are wanted.
        """
        tables = self._tables.unscaled(self._tables_of(lengths, like))
        return self._at(self._ops.broadcast(delta, (1, delta.shape[1], seq)), tables, like)

    def moved(self, positions: Positions, old: Frequencies, new: Frequencies, like: Array) -> Phase | Table:
        """Return the angles by which keys at positions rotate when old frequencies give way to new ones."""
        if old.inv_freq.dtype == "float32":
            axes = self._axes(positions.values, like)
            return difference_table(self._ops, positions.values, old, new, axes, like)
        if self._ops.is_float(positions.values):
            raise RopeConfigError("fractional positions move between frequencies of precision 'float32' alone")
        return self._exact(positions.values, self._tables.between(old, new, like), like)

    def table(self, source: Phase | Table) -> Table:
        """Return cos and sin of what the others returned."""
        return source if isinstance(source, Table) else self._ops.table(source)

    def _at(self, values: Array, tables: DeviceTables, like: Array | None) -> Phase | Table:
        if tables.rows is not None:
            values, tables = self._matched(values, tables, tables.rows)
        if self._precision == "exact":
            return self._exact(values, tables, like)
        return self._products(values, tables, like)

    def _products(self, values: Array, tables: DeviceTables, like: Array | None) -> Table:
        axes = self._axes(values, like)
        return product_table(
            self._ops, values, tables.turns, tables.attention_factors, tables.rows, axes, unscaled=tables.unscaled
        )

    def _exact(self, values: Array, tables: DeviceTables, like: Array | None) -> Phase:
        return Phase(
            positions=values,
            turns=tables.turns,
            attention_factors=tables.attention_factors,
            rows=tables.rows,
            axes=self._axes(values, like),
            unscaled=tables.unscaled,
        )

    def axes(self, count: int, like: Array) -> Array | None:
        """Return (pairs,) int32, the position axis of each pair, where positions have so many; None for one axis."""
        return self._tables.axes(like) if count == self.config.axes > 1 else None

    def _axes(self, values: Array, like: Array | None) -> Array | None:
        return self._tables.axes(like) if values.shape[0] > 1 else None

    def _matched(self, values: Array, tables: DeviceTables, rows: Array) -> tuple[Array, DeviceTables]:
        """Return positions and choices of tables for the same number of rows: kernels read one of each per row."""
        axes, batch, seq = values.shape
        if batch == 1:
            return self._ops.broadcast(values, (axes, rows.shape[0], seq)), tables
        return values, tables if rows.shape[0] == batch else replace(tables, rows=self._ops.broadcast(rows, (batch,)))

    def _check(self, positions: Positions, lengths: RowLengths | None) -> None:
        """Check lengths against positions, as far as that makes nobody wait for a device."""
        if lengths is None or self._ops.compiling():
            return
        ends = positions.ends
        if ends is None and self.config.scaling.follows_length and isinstance(lengths, list):
            ends = self._ops.ends(positions.values)
        check_lengths(lengths, positions.values.shape[1], ends)

    def _tables_for(self, positions: Positions, lengths: RowLengths | None, like: Array | None) -> DeviceTables:
        """Return the frequencies that hold, and advance the schedule's state."""
        if self.schedule.fixed:
            return self._tables.known(self.schedule.fixed.lengths, like)
        if lengths is None:
            lengths = positions.ends
        if self.schedule.boundary is not None and (self._ops.compiling() or not isinstance(lengths, list)):
            return self._switched(self.schedule.boundary, positions, lengths, like)
        if not isinstance(lengths, list):
            lengths = self._ops.numbers(self._row_lengths(positions, lengths, like))
        if self._ops.compiling():
            if self.schedule.policy == "transformers":
                self._ops.refuse(_HISTORY)
            return self._tables.traced(lengths, like)
        with self._advancing:
            plan, self._state = self.schedule.plan(lengths, self._state)
        return self._tables.planned(plan, like)

    def _tables_of(self, lengths: RowLengths | None, like: Array) -> DeviceTables:
        """Return the frequencies of given lengths; the schedule's state neither counts nor changes."""
        if self.schedule.fixed:
            return self._tables.known(self.schedule.fixed.lengths, like)
        if lengths is None:
            kind = self.config.scaling.rope_type
            raise RopeConfigError(f"rope_type {kind!r} follows the sequence: give seq_len, for which k was rotated")
        if not isinstance(lengths, list):
            lengths = self._ops.numbers(lengths)
        if self._ops.compiling():
            return self._tables.traced(lengths, like)
        return self._tables.planned(self.schedule.by_row(lengths), like)

    def _switched(
        self, boundary: int, positions: Positions, lengths: RowLengths | None, like: Array | None
    ) -> DeviceTables:
        """Choose between two tables on the device."""
        by_row = self._row_lengths(positions, lengths, like)
        if self.schedule.policy == "transformers":
            by_row = self._ops.largest(by_row)
        tables = self._tables.known((boundary, boundary + 1), like)
        return replace(tables, rows=self._ops.int32(by_row > boundary))

    def _row_lengths(self, positions: Positions, lengths: RowLengths | None, like: Array | None) -> Array:
        """Return tokens in context by row, (rows,), on the device."""
        if isinstance(lengths, list):
            return self._ops.filled(lengths, like)
        if lengths is not None:
            return lengths
        # Widened first: the largest position of a narrow dtype has no successor in it.
        return self._ops.int64(self._ops.largest_by_row(positions.values)) + 1


def _known(schedule: FrequencySchedule) -> list[TableLengths]:
    """Return the tables that are known before any call."""
    if schedule.fixed:
        return [schedule.fixed.lengths]
    return [] if schedule.boundary is None else [(schedule.boundary, schedule.boundary + 1)]
