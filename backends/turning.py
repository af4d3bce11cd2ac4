"""One rope at work: which of its frequencies hold for which row, and the angles of given positions."""

from dataclasses import replace
from threading import Lock
from typing import Any

from tightrope.backends.kernels.angles import Phase, Table
from tightrope.backends.ops import Array, Ops
from tightrope.backends.positions import Positions
from tightrope.backends.rates import Lengths, Rates, RateTables
from tightrope.backends.trig import product_table
from tightrope.rope.frequencies import Precision
from tightrope.rope.schedule import FrequencySchedule


class Turning:
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
        self._tables = RateTables(ops, schedule.config, precision, _known(schedule))

    def __reduce__(self) -> tuple[Any, ...]:
        return Turning, (self._ops, self.schedule, self._precision, self._state)

    def source(self, positions: Positions, lengths: list[int] | Array | None, like: Array | None) -> Phase | Table:
        """Return the angles at positions: a phase where they are exact, else a table.

        Args:
            positions: See `Positions`.
            lengths: Tokens in context, one number or one per row, on the host or on the device; None: by the positions.
            like: An array on whose device the angles are wanted.
        """
        rates = self._rates(positions, lengths, like)
        values = positions.values
        if rates.rows is not None:
            values, rates = self._matched(values, rates, rates.rows)
        axes = self._tables.axes(like) if values.shape[0] > 1 else None
        if self._precision == "float32":
            return product_table(self._ops, values, rates.turns, rates.gains, rates.rows, axes, unit=rates.unit)
        return Phase(
            positions=values, turns=rates.turns, gains=rates.gains, rows=rates.rows, axes=axes, unit=rates.unit
        )

    def table(self, source: Phase | Table) -> Table:
        """Return cos and sin of what `source` returned."""
        return source if isinstance(source, Table) else self._ops.table(source)

    def _matched(self, values: Array, rates: Rates, rows: Array) -> tuple[Array, Rates]:
        """Return positions and choices of tables for the same number of rows: kernels read one of each per row."""
        if values.shape[1] == 1:
            return self._ops.broadcast_rows(values, rows.shape[0]), rates
        if rows.shape[0] == 1:
            rows = self._ops.broadcast_rows(rows.reshape(1, 1, 1), values.shape[1]).reshape(-1)
            return values, replace(rates, rows=rows)
        return values, rates

    def _rates(self, positions: Positions, lengths: list[int] | Array | None, like: Array | None) -> Rates:
        """Return the frequencies that hold, and the schedule's next state."""
        if self.schedule.fixed:
            return self._tables.known(self.schedule.fixed.lengths, like)
        if lengths is None and positions.ends is not None:
            lengths = positions.ends
        on_host = isinstance(lengths, list) and not self._ops.compiling()
        if self.schedule.boundary is not None and not on_host:
            return self._switched(self.schedule.boundary, positions, lengths, like)
        if not isinstance(lengths, list):
            lengths = self._ops.numbers(self._row_lengths(positions, lengths, like))
        with self._advancing:
            plan, self._state = self.schedule.plan(lengths, self._state)
        return self._tables.planned(plan, like)

    def _switched(
        self, boundary: int, positions: Positions, lengths: list[int] | Array | None, like: Array | None
    ) -> Rates:
        """Choose between two tables on the device."""
        by_row = self._row_lengths(positions, lengths, like)
        if self.schedule.policy == "transformers":
            by_row = self._ops.largest(by_row)
        tables = self._tables.known((boundary, boundary + 1), like)
        return replace(tables, rows=self._ops.int32(by_row > boundary))

    def _row_lengths(self, positions: Positions, lengths: list[int] | Array | None, like: Array | None) -> Array:
        """Return tokens in context by row, (rows,), on the device."""
        if isinstance(lengths, list):
            return self._ops.filled(lengths, like)
        return self._ops.largest_by_row(positions.values) + 1 if lengths is None else lengths


def _known(schedule: FrequencySchedule) -> list[Lengths]:
    """Return the tables that can be told before any call."""
    if schedule.fixed:
        return [schedule.fixed.lengths]
    return [] if schedule.boundary is None else [(schedule.boundary, schedule.boundary + 1)]
