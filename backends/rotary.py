"""What `RotaryEmbedding` does, written once for all frameworks.

A framework's module inherits from `Rotary` and its own `Module`, and supplies `ops`.
"""

from collections.abc import Iterator, Mapping
from copy import copy
from typing import Any, ClassVar

from tightrope.backends.inputs import (
    Order,
    batch_and_seq,
    check_fit,
    check_form,
    check_order,
    check_precision,
    check_rotatable,
    check_table,
)
from tightrope.backends.kernels.angles import Phase, Table
from tightrope.backends.lengths import Lengths, find_lengths, several
from tightrope.backends.ops import Array, Ops
from tightrope.backends.positions import find_positions
from tightrope.backends.temperature import query_scale
from tightrope.backends.turning import Turning
from tightrope.rope.config import Layout, ModelRope, RopeConfig, Side
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import Precision
from tightrope.rope.schedule import FrequencySchedule, Policy, Switch


class Angles(Mapping[str, Table]):
    """cos and sin for one step, by rope: computed once, passed to every layer.

    Each `Table` has cos and sin, float32 (batch, seq, rotary_dim // 2), attention factor in.
    """

    def __init__(self, tables: dict[str, Table]) -> None:
        self._tables = tables

    def __getitem__(self, layer_type: str) -> Table:
        return self._tables[layer_type]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


class Ropes:
    """The ropes of a model at work; shared by a module and its views of single layers."""

    def __init__(self, ops: Ops, model: ModelRope, precision: Precision, policy: Policy, switch: Switch) -> None:
        self.model = model
        self.turnings = {
            key: Turning(ops, FrequencySchedule(rope, policy, switch), precision) for key, rope in model.ropes.items()
        }


class Rotary:
    """Rotates queries and keys by their positions.

    Nothing in it is trained, saved or converted: all tables follow from the configuration.

    Args:
        model: What `tightrope.read` returned, or a single `RopeConfig`.
        precision: `"exact"`: phases in integers, cos and sin within 1e-7. `"float32"`: transformers' arithmetic.
        policy: Which frequencies hold where they follow the length, see `FrequencySchedule`.
        switch: Which table holds for rope types that have two, see `FrequencySchedule`.

    Raises:
        RopeConfigError: An argument is not allowed.
    """

    ops: ClassVar[Ops]

    def __init__(
        self,
        model: ModelRope | RopeConfig,
        precision: Precision = "exact",
        policy: Policy = "row",
        switch: Switch = "auto",
    ) -> None:
        super().__init__()
        if isinstance(model, RopeConfig):
            model = ModelRope(ropes={"default": model}, layers=())
        if not isinstance(model, ModelRope):
            raise RopeConfigError(
                f"model must be a ModelRope (tightrope.read) or a RopeConfig, got {type(model).__name__}"
            )
        check_precision(precision)
        self.precision = precision
        self.policy = policy
        self.switch = switch
        self.layer_type: str | None = None
        self._ropes = Ropes(self.ops, model, precision, policy, switch)

    @property
    def model(self) -> ModelRope:
        """The ropes of the model, layer by layer."""
        return self._ropes.model

    def for_layer(self, index: int) -> "Rotary | None":
        """Return the rope of layer `index`, which needs no layer_type; None where the layer has no position."""
        layers = self.model.layers
        if not 0 <= index < len(layers):
            raise RopeConfigError(f"index must be one of the {len(layers)} layers, counted from 0, got {index}")
        if layers[index] is None:
            return None
        view = copy(self)  # shares the tables and the state
        view.layer_type = layers[index]
        return view

    def described(self) -> str:
        """Return the ropes in a line, for `repr`."""
        ropes = (
            f"{key}: {rope.scaling.rope_type}, base={rope.base:g}, rotary_dim={rope.rotary_dim}, {rope.layout}"
            for key, rope in self.model.ropes.items()
        )
        return "; ".join(ropes)

    def rotated(
        self, q: Array, k: Array | None = None, *, positions: Array | None = None, offset: int | Array | None = None,
        angles: Angles | tuple[Array, Array] | None = None, seq_len: Lengths | None = None,
        layer_type: str | None = None, order: Order = "bhsd",
    ) -> Any:  # fmt: skip
        """Return q, or (q, k), rotated.

        Args:
            q: A float array whose first or last rotary_dim channels turn.
            k: As q; heads and width may differ.
            positions: (seq,), (batch, seq), or (axes, batch, seq) for M-RoPE; int32 or int64, also negative.
            offset: The first position: an int, or an integer array (), (1,) or (batch,). Default 0.
            angles: What `angles` or `cos_sin` returned, in place of positions.
            seq_len: Tokens in context (largest position + 1), for all rows or one per row; read only where the
                frequencies follow the length, by default taken from the positions.
            layer_type: Which rope; needed where there are several.
            order: `"bhsd"`, `"bshd"`, or `"thd"` for packed tokens.

        Raises:
            RopeConfigError: An argument has a dtype or a shape that does not fit, or two say the same thing.
        """
        return self._rotated(q, k, positions, offset, angles, seq_len, layer_type, order, transpose=False)

    def _rotated(
        self, q: Array, k: Array | None, positions: Array | None, offset: int | Array | None,
        angles: Angles | tuple[Array, Array] | None, seq_len: Lengths | None,
        layer_type: str | None, order: Order, **how: Any,
    ) -> Any:  # fmt: skip
        check_order(order)
        key = self._key(layer_type)
        turning = self._ropes.turnings[key]
        rope = turning.config
        check_rotatable(self.ops, "q", q, rope.pairs, order)
        if k is not None:
            check_rotatable(self.ops, "k", k, rope.pairs, order)
        if angles is None:
            lengths = find_lengths(self.ops, seq_len)
            found = find_positions(self.ops, rope, positions, offset, batch_and_seq(q, order)[1], q)
            found = found.one_per_row() if order == "thd" and several(lengths) else found
            source = turning.source(found, lengths, q)
        elif positions is None and offset is None and seq_len is None:
            source = given_table(self.ops, angles, key, rope.pairs)
        else:
            raise RopeConfigError("angles already stand for positions: give no positions, offset or seq_len with them")
        return rotate_by(self.ops, q, k, source, layout=rope.layout, side=rope.side, order=order, **how)

    def angles(
        self, positions: Array | None = None, *, offset: int | Array | None = None, length: int | None = None,
        seq_len: Lengths | None = None, layer_type: str | None = None,
    ) -> Angles:  # fmt: skip
        """Return cos and sin of one step, for one rope or (layer_type None) for all: computed once, for every layer.

        Args:
            positions: See `rotated`.
            offset: See `rotated`; with `length`, in place of positions.
            length: How many positions follow the offset.
            seq_len: See `rotated`.
            layer_type: Which rope; None: all.
        """
        if positions is not None and length is not None:
            raise RopeConfigError("length belongs to offset: give positions, or offset and length")
        layer_type = self.layer_type if layer_type is None else layer_type
        keys = self._ropes.turnings if layer_type is None else [self.model.key(layer_type)]
        lengths = find_lengths(self.ops, seq_len)
        tables = {}
        for key in keys:
            turning = self._ropes.turnings[key]
            found = find_positions(self.ops, turning.config, positions, offset, length, None)
            tables[key] = turning.table(turning.source(found, lengths, found.values))
        return Angles(tables)

    def cos_sin(
        self, positions: Array, *, seq_len: Lengths | None = None, layer_type: str | None = None
    ) -> tuple[Array, Array]:
        """Return cos and sin, float32 (batch, seq, rotary_dim // 2), M-RoPE axes merged, attention factor in.

        Args:
            positions: See `rotated`; (seq,) gives a batch of 1.
            seq_len: See `rotated`.
            layer_type: Which rope; needed where there are several.
        """
        key = self._key(layer_type)
        table = self.angles(positions, seq_len=seq_len, layer_type=key)[key]
        return table.cos, table.sin

    def query_scale(self, positions: Array, layer_type: str | None = None) -> Array:
        """Return the factor on the query at each position (attention temperature): float32, of the positions' shape.

        1 where the family has none. See `ModelRope.query_scale`, also for what layer_type None means.
        """
        layer_type = self.layer_type if layer_type is None else layer_type
        return query_scale(self.ops, self.model.find_query_scale(layer_type), positions)

    def _key(self, layer_type: str | None) -> str:
        return self.model.key(self.layer_type if layer_type is None else layer_type)


def given_table(ops: Ops, angles: Any, key: str, pairs: int) -> Table:
    """Return the cos and sin of a rope from what a caller passed as angles."""
    if isinstance(angles, Angles):
        if key not in angles:
            raise RopeConfigError(f"angles hold {sorted(angles)}, none for layer_type {key!r}")
        return angles[key]
    if not isinstance(angles, tuple) or len(angles) != 2:
        raise RopeConfigError(f"angles must be what angles() or cos_sin() returned, got {type(angles).__name__}")
    check_table(ops, *angles, pairs)
    return Table(cos=angles[0], sin=angles[1])


def rotate_by(
    ops: Ops, q: Array, k: Array | None, source: Phase | Table, *, layout: Layout, side: Side, order: Order, **how: Any
) -> Any:
    """Return q, or (q, k), rotated, after a check that the angles fit."""
    shape = _shape(source)
    check_fit("q", q, shape, order)
    if k is not None:
        check_fit("k", k, shape, order)
    rotated = ops.rotate(q, k, source, layout=layout, side=side, order=order, **how)
    return rotated[0] if k is None else rotated


def _shape(source: Phase | Table) -> tuple[int, int]:
    """Return (batch, seq) of angles."""
    shape = source.cos.shape if isinstance(source, Table) else source.positions.shape[1:]
    return shape[0], shape[1]


def rotate_given(
    ops: Ops, q: Array, k: Array | None, cos: Array, sin: Array,
    *, layout: Layout, side: Side, order: Order, transpose: bool,
) -> Any:  # fmt: skip
    """Return q, or (q, k), rotated by cos and sin that the caller gives; the body of each backend's `rotate`."""
    check_form(layout, side, order)
    check_table(ops, cos, sin)
    for name, x in (("q", q), ("k", k)):
        if x is not None:
            check_rotatable(ops, name, x, cos.shape[-1], order)
    return rotate_by(ops, q, k, Table(cos=cos, sin=sin), layout=layout, side=side, order=order, transpose=transpose)
