"""Angles that exist already: those of one step for all layers, and cos and sin given by hand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Required, TypedDict, TypeVar

from numpy.typing import NDArray

from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.arguments import check_alike, check_fit, check_form, check_rotatable, check_table
from tightrope.backends.shared.ops import Array, Ops, Order
from tightrope.rope.config.terms import Layout, Side
from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.support.validation import is_whole

_Array = TypeVar("_Array")


class RotateKeywords(TypedDict, Generic[_Array], total=False):
    """The keywords of each backend's `rotate`, for type checkers; see `rotate_given`."""

    cos: Required[_Array]
    sin: Required[_Array]
    layout: Required[Layout]
    side: Side
    order: Order
    transpose: bool
    rotary_dim: int | None


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


class CallKeywords(TypedDict, Generic[_Array], total=False):
    """The keywords of a call, for type checkers; see `RotaryBase.__call__`."""

    positions: _Array | NDArray[Any] | None
    offset: int | _Array | NDArray[Any] | None
    angles: Angles | tuple[_Array, _Array] | None
    seq_len: int | Sequence[int] | _Array | NDArray[Any] | None
    layer_type: str | None
    order: Order


def given_table(ops: Ops, angles: Any, key: str, pairs: int) -> Table:
    """Return the cos and sin of a rope from what a caller passed as angles."""
    if isinstance(angles, tuple) and len(angles) == 2:
        cos, sin = angles
        check_table(ops, cos, sin, pairs)
        return Table(cos=cos, sin=sin)
    if not isinstance(angles, Angles):
        raise RopeConfigError(f"angles must be what angles() or cos_sin() returned, got {type(angles).__name__}")
    if key not in angles:
        raise RopeConfigError(f"angles hold {sorted(angles)}, none for layer_type {key!r}")
    table = angles[key]
    if table.pairs != pairs:
        raise RopeConfigError(
            f"angles hold {table.pairs} pairs, this rope rotates {pairs}: use those that this rope's angles() returns"
        )
    return table


def rotate_by(
    ops: Ops, q: Array, k: Array | None, source: Phase | Table, layout: Layout, side: Side, order: Order,
    *, transpose: bool = False, in_place: bool = False,
) -> Any:  # fmt: skip
    """Return q, or (q, k), rotated, after a check that the angles fit; in place where the framework can."""
    if k is not None:
        check_alike(q, k, order)
    check_fit("q", q, _shape(source), order)
    how = {"transpose": transpose} | ({"in_place": True} if in_place else {})

    def rotate(q: Array, k: Array | None, order: Order) -> Any:
        if layout == "halves":
            rotated = _rotate_halves(ops, q, k, source, order, **how)
        else:
            rotated = ops.rotate(q, k, source, layout=layout, side=side, order=order, **how)
        return rotated[0] if k is None else rotated

    return _through_views(q, k, rotate, in_place) if order == "sbhd" else rotate(q, k, order)


def _rotate_halves(
    ops: Ops, q: Array, k: Array | None, source: Phase | Table, order: Order, **how: Any
) -> tuple[Array, Array | None]:
    """Return q and k after two passes, one over each half of their channels, by the pairs of that half."""
    table = source if isinstance(source, Table) else ops.table(source)
    middle = table.cos.shape[-1] // 2
    for name, x in (("q", q), ("k", k)):
        if x is not None and x.shape[-1] != 4 * middle:
            raise RopeConfigError(f"{name} must have {4 * middle} channels in layout 'halves', got {x.shape[-1]}")
    halves: tuple[tuple[Side, slice], ...] = (("head", slice(None, middle)), ("tail", slice(middle, None)))
    for side, pairs in halves:
        part = Table(cos=table.cos[..., pairs], sin=table.sin[..., pairs])
        q, k = ops.rotate(q, k, part, layout="half", side=side, order=order, **how)
    return q, k


def _shape(source: Phase | Table) -> tuple[int, int]:
    """Return (batch, seq) of angles."""
    shape = source.cos.shape if isinstance(source, Table) else source.positions.shape[1:]
    return shape[0], shape[1]


def rotate_given(
    ops: Ops, q: Array, k: Array | None, cos: Array, sin: Array,
    *, layout: Layout, side: Side, order: Order, transpose: bool, pairs: int | None = None,
) -> Any:  # fmt: skip
    """Return q, or (q, k), rotated by cos and sin that the caller gives; each backend's `rotate`.

    y1 = x1 · cos − x2 · sin,    y2 = x1 · sin + x2 · cos

    Args:
        ops: The framework; a backend's `rotate` has its own.
        q: A float array, at least 2 · pairs wide; computed in float32 (float64 as it is), rounded once.
        k: As q; heads and width may differ.
        cos: (batch or 1, seq, pairs), attention factor in.
        sin: As cos.
        layout: Which channels form a pair, see `RopeConfig`.
        side: Which end of the width is rotated, see `RopeConfig`.
        order: `"bhsd"`, `"bshd"`, `"sbhd"`, or `"thd"` for packed tokens.
        transpose: Rotate back: the sign of sin flipped.
        pairs: What `rotary_pairs` returned.

    Raises:
        RopeConfigError: A dtype or a shape does not fit.
    """
    check_form(layout, side, order, transpose)
    check_table(ops, cos, sin, pairs)
    for name, x in (("q", q), ("k", k)):
        if x is not None or name == "q":
            check_rotatable(ops, name, x, cos.shape[-1], order, tables=True)
    return rotate_by(ops, q, k, Table(cos=cos, sin=sin), layout, side, order, transpose=transpose)


def rotary_pairs(rotary_dim: int | None) -> int | None:
    """Return how many pairs cos and sin must hold where the caller says how many channels rotate, else None.

    Raises:
        RopeConfigError: It is no even number >= 2.
    """
    if rotary_dim is None:
        return None
    if not is_whole(rotary_dim) or rotary_dim < 2 or rotary_dim % 2:
        raise RopeConfigError(f"rotary_dim must be an even number >= 2, got {shortened(rotary_dim)}")
    return int(rotary_dim) // 2


def _through_views(
    q: Array, k: Array | None, rotate: Callable[[Array, Array | None, Order], Any], in_place: bool
) -> Any:
    """Return q, or (q, k), of order "sbhd" rotated as order "bshd": the same memory, its first two axes exchanged."""
    rotated = rotate(q.swapaxes(0, 1), None if k is None else k.swapaxes(0, 1), "bshd")
    if in_place:
        return q if k is None else (q, k)
    return rotated.swapaxes(0, 1) if k is None else tuple(x.swapaxes(0, 1) for x in rotated)
