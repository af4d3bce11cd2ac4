"""One rope at work: which of its frequencies hold for which row, and the angles of given positions."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tightrope.backends.inputs import Positions
from tightrope.backends.kernels.angles import Phase, Table
from tightrope.backends.ops import Array, Ops, Values
from tightrope.backends.store import Store
from tightrope.backends.trig import product_table
from tightrope.rope.config import RopeConfig
from tightrope.rope.frequencies import Precision, frequencies
from tightrope.rope.schedule import FrequencySchedule, Plan

# Recent plans and their tables: enough for the layers of a step and a few steps in flight on several threads.
_RECENT: Final = 64


@dataclass(frozen=True)
class HostRates:
    """Tables of frequencies on the host.

    Attributes:
        turns: (tables, pairs): the bits of `rope.phase.turns` as int64; float32 inv_freq under precision "float32".
        gains: (tables,) float32: the attention factor of each table.
        unit: Every gain is 1.
    """

    turns: Values
    gains: Values
    unit: bool

    @classmethod
    def at(cls, config: RopeConfig, lengths: tuple[int | None, ...], precision: Precision) -> "HostRates":
        """Return one table per length."""
        tables = [frequencies(config, length, precision=precision) for length in lengths]
        exact = precision == "exact"
        turns = np.stack([t.turns.view(np.int64) if exact else t.inv_freq for t in tables])
        gains = np.array([t.attention_factor for t in tables], np.float32)
        return cls(Values.of(turns), Values.of(gains), bool((gains == 1).all()))


@dataclass(frozen=True, eq=False)
class Rates:
    """`HostRates` on a device."""

    turns: Array
    gains: Array
    unit: bool


class Turning:
    """A rope, its schedule, and what it keeps on devices; all of that follows from the arguments."""

    def __init__(self, ops: Ops, schedule: FrequencySchedule, precision: Precision) -> None:
        self.ops = ops
        self.config = schedule.config
        self.schedule = schedule
        self.precision = precision
        self.state = schedule.start
        self._fixed: dict[Hashable, Rates] = {}
        self._recent: Store[Rates] = Store(_RECENT)
        self._recent_rows: Store[Array] = Store(_RECENT)
        self._host = {lengths: HostRates.at(self.config, lengths, precision) for lengths in _known(schedule)}
        self._axes = Values.of(
            np.array(self.config.mrope.pair_axes(self.config.pairs) if self.config.mrope else [], np.int32)
        )

    def source(self, positions: Positions, lengths: list[int] | Array | None, like: Array | None) -> Phase | Table:
        """Return the angles at positions: a phase where they are exact, else a table.

        Args:
            positions: See `Positions`.
            lengths: Tokens in context, one number or one per row, on the host or on the device; None: by the positions.
            like: An array on whose device the angles are wanted.
        """
        rates, rows = self._rates(positions, lengths, like)
        values = positions.values
        if rows is not None and values.shape[1] == 1:
            values = self.ops.broadcast_rows(values, rows.shape[0])
        elif rows is not None and rows.shape[0] == 1:  # one choice for a batch: a kernel reads one per row
            rows = self.ops.broadcast_rows(rows.reshape(1, 1, 1), values.shape[1]).reshape(-1)
        axes = self.ops.array(self._axes, like) if values.shape[0] > 1 else None
        if self.precision == "float32":
            return product_table(self.ops, values, rates.turns, rates.gains, rows, axes, unit=rates.unit)
        return Phase(positions=values, turns=rates.turns, gains=rates.gains, rows=rows, axes=axes, unit=rates.unit)

    def table(self, source: Phase | Table) -> Table:
        """Return cos and sin of what `source` returned."""
        return source if isinstance(source, Table) else self.ops.table(source)

    def _rates(
        self, positions: Positions, lengths: list[int] | Array | None, like: Array | None
    ) -> tuple[Rates, Array | None]:
        """Return the tables of frequencies, and which one each row takes (None: all the first)."""
        if self.schedule.fixed:
            return self._fixed_rates(self.schedule.fixed.lengths, like), None
        if lengths is None and positions.end is not None:
            lengths = [positions.end]
        on_host = isinstance(lengths, list) and not self.ops.compiling()
        if self.schedule.boundary is not None and not on_host:
            return self._switched(self.schedule.boundary, positions, lengths, like)
        if not isinstance(lengths, list):
            lengths = self.ops.numbers(self._row_lengths(positions, lengths, like))
        plan, self.state = self.schedule.plan(lengths, self.state)
        return self._planned(plan, like)

    def _switched(
        self, boundary: int, positions: Positions, lengths: list[int] | Array | None, like: Array | None
    ) -> tuple[Rates, Array]:
        """Choose between two tables on the device."""
        by_row = self._row_lengths(positions, lengths, like)
        if self.schedule.policy == "transformers":
            by_row = self.ops.largest(by_row)
        return self._fixed_rates((boundary, boundary + 1), like), self.ops.int32(by_row > boundary)

    def _row_lengths(self, positions: Positions, lengths: list[int] | Array | None, like: Array | None) -> Array:
        """Return tokens in context by row, (rows,), on the device."""
        if isinstance(lengths, list):
            return self.ops.filled(lengths, like)
        return self.ops.largest_by_row(positions.values) + 1 if lengths is None else lengths

    def _planned(self, plan: Plan, like: Array | None) -> tuple[Rates, Array | None]:
        place = self.ops.place(like)
        rates = self._recent.get((plan.lengths, place))
        if rates is None:
            rates = self._on_device(HostRates.at(self.config, plan.lengths, self.precision), like)
            if place is not None:
                self._recent[plan.lengths, place] = rates
        if plan.rows is None:
            return rates, None
        return rates, self.ops.array(Values.of(np.array(plan.rows, np.int32)), like)

    def _fixed_rates(self, lengths: tuple[int | None, ...], like: Array | None) -> Rates:
        place = self.ops.place(like)
        rates = self._fixed.get((lengths, place)) if place is not None else None
        if rates is None:
            rates = self._on_device(self._host[lengths], like)
            if place is not None:
                self._fixed[lengths, place] = rates
        return rates

    def _on_device(self, host: HostRates, like: Array | None) -> Rates:
        return Rates(self.ops.array(host.turns, like), self.ops.array(host.gains, like), host.unit)


def _known(schedule: FrequencySchedule) -> list[tuple[int | None, ...]]:
    """Return the tables that can be told before any call."""
    if schedule.fixed:
        return [schedule.fixed.lengths]
    if schedule.boundary is None:
        return []
    below, beyond = schedule.boundary, schedule.boundary + 1
    return [(below,), (beyond,), (below, beyond)]
