"""`RotaryBase`: what `RotaryEmbedding` does, written once for all frameworks.

A framework's module inherits from `RotaryBase` and its own `Module`, supplies `ops`, and gives the call its types.
"""

from copy import copy
from typing import Any, ClassVar, Never, Self, Unpack, cast, overload

from tightrope.backends.shared.angles import Table
from tightrope.backends.shared.arguments import (
    Lengths,
    RowLengths,
    batch_and_seq,
    check_lengths,
    check_order,
    check_precision,
    check_rotatable,
    find_lengths,
    several,
)
from tightrope.backends.shared.arguments.miscalled import right_call
from tightrope.backends.shared.key_cache import KeyCacheMixin
from tightrope.backends.shared.ops import Array, Ops, Order
from tightrope.backends.shared.positions import Positions, find_positions
from tightrope.backends.shared.query_scale import query_scale_at
from tightrope.backends.shared.rope_angles import RopeAngles
from tightrope.backends.shared.rotation import Angles, CallKeywords, given_table, rotate_by
from tightrope.rope.config.description import describe
from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import Precision
from tightrope.rope.reading import ModelSource, model_from
from tightrope.rope.schedule import FrequencySchedule, Policy, Switch
from tightrope.rope.support.called import require_known
from tightrope.rope.support.validation import whole_number


class RotaryBase(KeyCacheMixin):
    """Rotates queries and keys by their positions, whatever the framework.

    Nothing in it is trained, saved or converted: all tables follow from the configuration.

    Args:
        model: A `ModelRope`, a `RopeConfig`, or what `tightrope.read` takes: a path, a dict, a transformers
            configuration.
        precision: `"exact"`: phases in integers, cos and sin within 1e-7 at any position. `"float32"`: transformers'
            arithmetic, step by step, for comparison with it.
        policy: Which frequencies hold where they follow the length, see `FrequencySchedule`.
        switch: Which table holds for rope types that have two, see `FrequencySchedule`.

    Raises:
        RopeConfigError: An argument is not allowed.
    """

    ops: ClassVar[Ops]
    model: ModelRope
    """The ropes of the model, layer by layer."""
    _ropes: dict[str, RopeAngles]
    _only: RopeAngles | None
    """The rope of a call without layer_type, where that says which."""

    def __init__(
        self,
        model: ModelSource = cast(Any, None),  # noqa: B008  # see right_call
        precision: Precision = "exact",
        policy: Policy = "row",
        switch: Switch = "auto",
        **misnamed: Never,
    ) -> None:
        super().__init__()
        if misnamed or model is None or isinstance(model, int | float):
            raise RopeConfigError(right_call(type(self).__name__, (model, precision, policy), misnamed))
        model = model_from(model)
        check_precision(precision)
        self.precision = precision
        self.policy = policy
        self.switch = switch
        self.layer_type: str | None = None
        ropes = {
            key: RopeAngles(self.ops, FrequencySchedule(rope, policy, switch), precision)
            for key, rope in model.ropes.items()
        }
        self.model = model
        # Past the framework's own __setattr__: MLX would look for modules in a dictionary.
        object.__setattr__(self, "_ropes", ropes)
        self._only = next(iter(ropes.values())) if len(ropes) == 1 else None
        self._begin()

    def _begin(self) -> None:
        """Set what a framework's module keeps besides; it overrides this, not the arguments that checkers follow."""

    def for_layer(self, index: int) -> Self | None:
        """Return the rope of layer `index`, which needs no layer_type; None where the layer has no position."""
        if self.model.for_layer(index) is None:
            return None
        view = copy(self)  # shares the tables and the state
        view.layer_type = self.model.layers[index]
        view._only = self._ropes[self._key(view.layer_type)]
        return view

    @overload
    def __call__(self, q: Array, k: None = None, **keywords: Unpack[CallKeywords[Array]]) -> Array: ...
    @overload
    def __call__(self, q: Array, k: Array, **keywords: Unpack[CallKeywords[Array]]) -> tuple[Array, Array]: ...
    def __call__(
        self, q: Array, k: Array | None = None, *, positions: Array | None = None, offset: int | Array | None = None,
        angles: Angles | tuple[Array, Array] | None = None, seq_len: Lengths | None = None,
        layer_type: str | None = None, order: Order = "bhsd",
    ) -> Any:  # fmt: skip
        """Return q, or (q, k), rotated.

        Args:
            q: A float array whose first or last rotary_dim channels are rotated.
            k: As q; heads and width may differ.
            positions: (seq,), (batch, seq), or (axes, batch, seq) for M-RoPE; integers, also negative, or
                whole numbers of a float dtype; fractions, whose angles are float32, where the rope has such (towers).
            offset: The first position: an int, or an integer array (), (1,) or (batch,). Default 0.
            angles: What `angles` or `cos_sin` returned, in place of positions.
            seq_len: Tokens in context (largest position + 1), for all rows or one per row; read only where the
                frequencies follow the length, by default taken from the positions: documents packed into one row, told
                by positions that do not increase, have each its own (policy "row", positions of one axis; not inside a
                graph of torch.compile). It must exceed every position, which is checked where the host knows positions
                without waiting for a device. Packed tokens may also have a length for each
                (`tightrope.rope.positions.packed`).
            layer_type: Which rope; needed where there are several.
            order: `"bhsd"`, `"bshd"`, `"sbhd"`, or `"thd"` for packed tokens.

        Raises:
            RopeConfigError: An argument has a dtype or a shape that does not fit, or two say the same thing.
        """
        return self._rotated(q, k, positions, offset, angles, seq_len, layer_type, order)

    def _rotated(
        self, q: Array, k: Array | None, positions: Array | None, offset: int | Array | None,
        angles: Angles | tuple[Array, Array] | None, seq_len: Lengths | None,
        layer_type: str | None, order: Order, *, in_place: bool = False,
    ) -> Any:  # fmt: skip
        """Return q, or (q, k), rotated: at once where the framework can, else after the checks."""
        done = self._rotated_at_once(q, k, positions, offset, angles, seq_len, layer_type, order, in_place)
        if done is not None:
            return done
        return self._rotated_after_checks(q, k, positions, offset, angles, seq_len, layer_type, order, in_place)

    def _rotated_after_checks(
        self, q: Array, k: Array | None, positions: Array | None, offset: int | Array | None,
        angles: Angles | tuple[Array, Array] | None, seq_len: Lengths | None,
        layer_type: str | None, order: Order, in_place: bool = False,
    ) -> Any:  # fmt: skip
        rope_angles = self._checked_rope("q", q, layer_type, order)
        rope = rope_angles.config
        if k is not None:
            check_rotatable(self.ops, "k", k, rope.pairs, order)
        if angles is None:
            source = rope_angles.source(*self._placed(rope_angles, q, positions, offset, seq_len, order), q)
        elif positions is None and offset is None and seq_len is None:
            source = given_table(self.ops, angles, self._key(layer_type), rope.pairs)
        else:
            raise RopeConfigError("angles already stand for positions: give no positions, offset or seq_len with them")
        return rotate_by(self.ops, q, k, source, rope.layout, rope.side, order, in_place=in_place)

    def _rotated_at_once(
        self, q: Array, k: Array | None, positions: Array | None, offset: int | Array | None,
        angles: Angles | tuple[Array, Array] | None, seq_len: Lengths | None,
        layer_type: str | None, order: Order, in_place: bool,
    ) -> Any:  # fmt: skip
        """Return q, or (q, k), rotated by a kernel that is called before the checks.

        None, nothing done, where it cannot serve or something does not fit. A framework with such a kernel overrides
        this.
        """
        return None

    def _placed(
        self, rope_angles: RopeAngles, x: Array, positions: Array | None, offset: int | Array | None,
        seq_len: Lengths | None, order: Order,
    ) -> tuple[Positions, RowLengths | None]:  # fmt: skip
        """Return the positions of the tokens of x, and their lengths."""
        batch, seq = batch_and_seq(x, order)
        found = find_positions(self.ops, rope_angles.config, positions, offset, seq, x, order)
        lengths = find_lengths(self.ops, seq_len)
        if lengths is not None and several(lengths):
            check_lengths(lengths, seq if order == "thd" else batch, None)
            found = found.one_per_row() if order == "thd" else found
        return found, lengths

    def angles(  # noqa: D417  # misnamed are none
        self, positions: Array | None = None, *, offset: int | Array | None = None, length: int | None = None,
        seq_len: Lengths | None = None, layer_type: str | None = None, **misnamed: Never,
    ) -> Angles:  # fmt: skip
        """Return cos and sin of one step, for one rope or (layer_type None) for all: computed once, for every layer.

        Args:
            positions: See the call.
            offset: See the call; with `length`, in place of positions.
            length: How many positions follow the offset.
            seq_len: See the call.
            layer_type: Which rope; None: all.
        """
        if misnamed:
            require_known("angles", misnamed, ("positions", "offset", "length", "seq_len", "layer_type"))
        if positions is not None and length is not None:
            raise RopeConfigError("length belongs to offset: give positions, or offset and length")
        length = None if length is None else whole_number("length", length, 0)
        layer_type = self.layer_type if layer_type is None else layer_type
        keys = self._ropes if layer_type is None else [self.model.key(layer_type)]
        lengths = find_lengths(self.ops, seq_len)
        return Angles({key: self._table(key, positions, offset, length, lengths) for key in keys})

    def cos_sin(
        self, positions: Array, *, seq_len: Lengths | None = None, layer_type: str | None = None
    ) -> tuple[Array, Array]:
        """Return cos and sin, float32 (batch, seq, rotary_dim // 2), M-RoPE axes merged, attention factor in.

        Args:
            positions: See the call; (seq,) gives a batch of 1.
            seq_len: See the call.
            layer_type: Which rope; needed where there are several.
        """
        table = self._table(self._key(layer_type), positions, None, None, find_lengths(self.ops, seq_len))
        return table.cos, table.sin

    def _table(
        self, key: str, positions: Array | None, offset: int | Array | None, length: int | None,
        lengths: RowLengths | None,
    ) -> Table:  # fmt: skip
        """Return cos and sin of one rope."""
        rope_angles = self._ropes[key]
        found = find_positions(self.ops, rope_angles.config, positions, offset, length, None)
        return rope_angles.table(rope_angles.source(found, lengths, found.values))

    def query_scale(self, positions: Array, layer_type: str | None = None) -> Array:
        """Return the factor on the query at each position (attention temperature): float32, of the positions' shape.

        1 where the family has none. See `ModelRope.query_scale`, also for what layer_type None means.
        """
        layer_type = self.layer_type if layer_type is None else layer_type
        return query_scale_at(self.ops, self.model.find_query_scale(layer_type), positions)

    def _checked_rope(self, name: str, x: Array, layer_type: str | None, order: Order) -> RopeAngles:
        """Return the rope that x is to be rotated by, after a check that it can be."""
        check_order(order)
        rope_angles = self._chosen(layer_type)
        check_rotatable(self.ops, name, x, rope_angles.config.pairs, order)
        return rope_angles

    def _chosen(self, layer_type: str | None) -> RopeAngles:
        only = self._only
        return only if layer_type is None and only is not None else self._ropes[self._key(layer_type)]

    def _key(self, layer_type: str | None) -> str:
        wanted = self.layer_type if layer_type is None else layer_type
        if wanted is None and len(self._ropes) == 1:
            return next(iter(self._ropes))
        return self.model.key(wanted)

    def _description(self) -> str:
        """Return the ropes in a line, for `repr`."""
        return "; ".join(f"{key}: {describe(rope)}" for key, rope in self.model.ropes.items())
