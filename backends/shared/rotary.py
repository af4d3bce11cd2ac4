"""What `RotaryEmbedding` does, written once for all frameworks.

A framework's module inherits from `Rotary` and its own `Module`, and supplies `ops`.
"""

from typing import Any

from tightrope.backends.shared.angles import Table
from tightrope.backends.shared.arguments import (
    Lengths,
    RowLengths,
    batch_and_seq,
    check_lengths,
    check_rotatable,
    find_lengths,
    several,
)
from tightrope.backends.shared.key_cache import KeyCacheMixin
from tightrope.backends.shared.ops import Array, Order
from tightrope.backends.shared.positions import Positions, find_positions
from tightrope.backends.shared.query_scale import query_scale
from tightrope.backends.shared.rope_angles import RopeAngles
from tightrope.backends.shared.rotation import Angles, given_table, rotate_by
from tightrope.rope.errors import RopeConfigError


class Rotary(KeyCacheMixin):
    """Rotates queries and keys by their positions; see `HasRopes` for how it is made."""

    def rotated(
        self, q: Array, k: Array | None = None, *, positions: Array | None = None, offset: int | Array | None = None,
        angles: Angles | tuple[Array, Array] | None = None, seq_len: Lengths | None = None,
        layer_type: str | None = None, order: Order = "bhsd",
    ) -> Any:  # fmt: skip
        """Return q, or (q, k), rotated.

        Args:
            q: A float array whose first or last rotary_dim channels turn.
            k: As q; heads and width may differ.
            positions: (seq,), (batch, seq), or (axes, batch, seq) for M-RoPE; int32 or int64, also negative; floats
                too where the rope has fractional positions (towers), whose angles are float32.
            offset: The first position: an int, or an integer array (), (1,) or (batch,). Default 0.
            angles: What `angles` or `cos_sin` returned, in place of positions.
            seq_len: Tokens in context (largest position + 1), for all rows or one per row; read only where the
                frequencies follow the length, by default taken from the positions. It must exceed every position,
                which is checked where the host knows positions without waiting for a device. Packed tokens are one
                row, unless there is a length for each (`tightrope.rope.positions.packed`).
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
        rope_angles = self._rope_angles("q", q, layer_type, order)
        rope = rope_angles.config
        if k is not None:
            check_rotatable(self.ops, "k", k, rope.pairs, order)
        if angles is None:
            source = rope_angles.source(*self._placed(rope_angles, q, positions, offset, seq_len, order), q)
        elif positions is None and offset is None and seq_len is None:
            source = given_table(self.ops, angles, self._key(layer_type), rope.pairs)
        else:
            raise RopeConfigError("angles already stand for positions: give no positions, offset or seq_len with them")
        return rotate_by(self.ops, q, k, source, layout=rope.layout, side=rope.side, order=order, **how)

    def _placed(
        self, rope_angles: RopeAngles, x: Array, positions: Array | None, offset: int | Array | None,
        seq_len: Lengths | None, order: Order,
    ) -> tuple[Positions, RowLengths | None]:  # fmt: skip
        """Return the positions of the tokens of x, and their lengths."""
        batch, seq = batch_and_seq(x, order)
        found = find_positions(self.ops, rope_angles.config, positions, offset, seq, x)
        lengths = find_lengths(self.ops, seq_len)
        if lengths is not None and several(lengths):
            check_lengths(lengths, seq if order == "thd" else batch, None)
            found = found.one_per_row() if order == "thd" else found
        return found, lengths

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
        if length is not None and length < 0:
            raise RopeConfigError(f"length must be >= 0, got {length}")
        layer_type = self.layer_type if layer_type is None else layer_type
        keys = self._ropes.rope_angles if layer_type is None else [self.model.key(layer_type)]
        lengths = find_lengths(self.ops, seq_len)
        return Angles({key: self._table(key, positions, offset, length, lengths) for key in keys})

    def cos_sin(
        self, positions: Array, *, seq_len: Lengths | None = None, layer_type: str | None = None
    ) -> tuple[Array, Array]:
        """Return cos and sin, float32 (batch, seq, rotary_dim // 2), M-RoPE axes merged, attention factor in.

        Args:
            positions: See `rotated`; (seq,) gives a batch of 1.
            seq_len: See `rotated`.
            layer_type: Which rope; needed where there are several.
        """
        table = self._table(self._key(layer_type), positions, None, None, find_lengths(self.ops, seq_len))
        return table.cos, table.sin

    def _table(
        self, key: str, positions: Array | None, offset: int | Array | None, length: int | None,
        lengths: RowLengths | None,
    ) -> Table:  # fmt: skip
        """Return cos and sin of one rope."""
        rope_angles = self._ropes.rope_angles[key]
        found = find_positions(self.ops, rope_angles.config, positions, offset, length, None)
        return rope_angles.table(rope_angles.source(found, lengths, found.values))

    def query_scale(self, positions: Array, layer_type: str | None = None) -> Array:
        """Return the factor on the query at each position (attention temperature): float32, of the positions' shape.

        1 where the family has none. See `ModelRope.query_scale`, also for what layer_type None means.
        """
        layer_type = self.layer_type if layer_type is None else layer_type
        return query_scale(self.ops, self.model.find_query_scale(layer_type), positions)
