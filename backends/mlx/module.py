"""`RotaryEmbedding` and `rotate` for MLX."""

from collections.abc import Callable
from copy import copy
from types import NoneType
from typing import Any, ClassVar, Final, TypeAlias, Unpack, overload

import mlx.core as mx
import mlx.nn as nn
from numpy.typing import NDArray

from tightrope.backends.mlx.export import is_exporting
from tightrope.backends.mlx.kernels import launch as kernel
from tightrope.backends.mlx.ops import MlxOps
from tightrope.backends.mlx.replay import LARGEST, Replays
from tightrope.backends.shared.arguments import ORDERS, Lengths
from tightrope.backends.shared.arguments.repeated import RepeatedAngles
from tightrope.backends.shared.ops import Ops, Order
from tightrope.backends.shared.rotary import RotaryBase
from tightrope.backends.shared.rotation import Angles, CallKeywords, RotateKeywords, rotary_pairs, rotate_given
from tightrope.rope.config.terms import Layout, Side

_Integers: TypeAlias = mx.array | NDArray[Any]
_Angles: TypeAlias = Angles | tuple[mx.array, mx.array]

_INDICES: Final = (mx.int32, mx.int64)
# Positions up to here count on for as many tokens as there can be, without passing 64 bits.
_FAR: Final = 2**62


class RotaryEmbedding(RotaryBase, nn.Module):
    """Rotates queries and keys by their positions: an MLX module without parameters.

    y1 = x1 · cos − x2 · sin,    y2 = x1 · sin + x2 · cos    for each pair of channels; angle = position · inv_freq

    Nothing in it is trained, saved or converted: all tables follow from the configuration.

    Args:
        model: A `ModelRope`, a `RopeConfig`, or what `tightrope.read` takes: a path, a dict, a transformers
            configuration.
        precision: `"exact"`: phases in integers, so that cos and sin are within 1e-7 at any position. `"float32"`:
            transformers' arithmetic, step by step, for comparison with it; 3e-3 off at position 131,071 (base 5e5).
        policy: Which frequencies hold where they follow the length (dynamic NTK, LongRoPE). `"row"`: each batch row by
            its own length, whatever was before and beside it. `"transformers"`: all rows by the longest, growing and
            reset with what was called before, as transformers' `dynamic_rope_update` does.
        switch: For rope types with two tables (LongRoPE). `"auto"` chooses by length; `"short"` or `"long"`: that one,
            whatever the length.

    Raises:
        RopeConfigError: An argument is not allowed.
    """

    ops: ClassVar[Ops] = MlxOps()

    _extra_repr = RotaryBase._description
    _replays: Replays

    def _begin(self) -> None:
        self._replays = Replays()

    @overload
    def __call__(self, q: mx.array, k: None = None, **keywords: Unpack[CallKeywords[mx.array]]) -> mx.array: ...
    @overload
    def __call__(
        self, q: mx.array, k: mx.array, **keywords: Unpack[CallKeywords[mx.array]]
    ) -> tuple[mx.array, mx.array]: ...
    def __call__(
        self, q: mx.array, k: mx.array | None = None, *, positions: _Integers | None = None,
        offset: int | _Integers | None = None, angles: _Angles | None = None,
        seq_len: Lengths | None = None, layer_type: str | None = None, order: Order = "bhsd",
    ) -> mx.array | tuple[mx.array, mx.array]:  # fmt: skip
        """Return q, or (q, k), rotated.

        Args:
            q: A float array, its first or last rotary_dim channels to be rotated.
            k: As q; heads and width may differ.
            positions: (seq,), (batch, seq), or (axes, batch, seq) for M-RoPE; integers, also negative.
            offset: The first position, in place of positions: an int, or one per row (batch,). Default 0.
            angles: What `angles` or `cos_sin` returned, in place of positions.
            seq_len: Tokens in context (largest position + 1), for all rows or one per row; read where the frequencies
                follow the length, by default taken from the positions.
            layer_type: Which rope; needed where there are several.
            order: The axes of q and k: `"bhsd"`, `"bshd"`, `"sbhd"`, or `"thd"` for packed (tokens, heads, head_dim).

        Raises:
            RopeConfigError: An argument has a dtype or a shape that does not fit, or two say the same thing.
        """
        rotated: mx.array | tuple[mx.array, mx.array] = self._rotated(
            q, k, positions, offset, angles, seq_len, layer_type, order
        )
        return rotated

    def _rotated_at_once(
        self, q: Any, k: Any, positions: Any, offset: Any, angles: Any, seq_len: Any, layer_type: str | None,
        order: Order, in_place: bool,
    ) -> Any:  # fmt: skip
        """By the graph of an earlier call of its kind, see `Replays`."""
        xs = (q,) if k is None else (q, k)
        if seq_len is not None or type(order) is not str or order not in ORDERS or not _replayed(xs):
            return None
        rope_angles = self._chosen(layer_type)
        key = layer_type or self.layer_type
        kind, arrays = _varying(positions, offset, angles, key or "default")
        if kind is None or not (kind == "angles" or rope_angles.by_device):
            return None
        return self._replays((kind, key, order), self._graph, (*xs, *arrays))

    def _graph(self, kind: tuple[str, str | None, Order]) -> Callable[..., Any]:
        """Return a function of q, perhaps k, and what places their tokens, that rotates them; see `Replays`."""
        rope = copy(self)
        del rope._replays  # which will hold the function

        name, layer_type, order = kind
        sources = 2 if name == "angles" else 1

        def rotated(*given: mx.array) -> Any:
            q, k, where = given[0], given[1] if len(given) > 1 + sources else None, given[-sources:]
            found: dict[str, Any] = {name: where if name == "angles" else where[0]}
            positions, offset, angles = (found.get(one) for one in ("positions", "offset", "angles"))
            return rope._rotated_after_checks(q, k, positions, offset, angles, None, layer_type, order)

        return rotated

    def cis(self, positions: mx.array, *, seq_len: Lengths | None = None, layer_type: str | None = None) -> mx.array:
        """Return cos + i sin, complex64 (batch, seq, rotary_dim // 2); see `cos_sin`."""
        cos, sin = self.cos_sin(positions, seq_len=seq_len, layer_type=layer_type)
        result: mx.array = cos + 1j * sin
        return result


def _varying(positions: Any, offset: Any, angles: Any, key: str) -> tuple[str | None, tuple[mx.array, ...]]:
    """Return by which keyword a call places its tokens, and the arrays that do; None where it is unusual."""
    if angles is not None:
        if type(angles) is Angles and key in angles:
            angles = angles[key].cos, angles[key].sin
        if positions is None and offset is None and type(angles) is tuple and set(map(type, angles)) == {mx.array}:
            return "angles", angles
    elif positions is not None:
        if offset is None and type(positions) is mx.array and positions.dtype in _INDICES:
            return "positions", (positions,)
    elif offset is None or (type(offset) is int and abs(offset) <= _FAR):
        return "offset", (mx.array(offset or 0, dtype=mx.int64),)
    elif type(offset) is mx.array:
        return "offset", (offset,)
    return None, ()


_repeated: Final = RepeatedAngles(RotaryEmbedding.ops)


@overload
def rotate(q: mx.array, k: None = None, **keywords: Unpack[RotateKeywords[mx.array]]) -> mx.array: ...
@overload
def rotate(q: mx.array, k: mx.array, **keywords: Unpack[RotateKeywords[mx.array]]) -> tuple[mx.array, mx.array]: ...
def rotate(
    q: mx.array, k: mx.array | None = None, *, cos: mx.array, sin: mx.array, layout: Layout,
    side: Side = "head", order: Order = "bhsd", transpose: bool = False, rotary_dim: int | None = None,
) -> Any:  # fmt: skip
    """Return q, or (q, k), rotated by given angles; see `tightrope.backends.shared.rotation.rotate_given`.

    y1 = x1 · cos − x2 · sin,    y2 = x1 · sin + x2 · cos

    Args:
        q: A float array, at least 2 · pairs wide; computed in float32 (float64 as it is), rounded once.
        k: As q; heads and width may differ.
        cos: (batch or 1, seq, pairs), attention factor in.
        sin: As cos. Tables that hold each angle twice, as transformers' do, are refused. Where rotary_dim is not given
            their values tell, which are computed for it: on the CPU of every table; on a GPU, which has to be waited
            for, of the first of each width; of none inside `mx.compile`.
        layout: Which channels form a pair: `"half"`, `"interleaved"`, see `RopeConfig`.
        side: Which end of the width is rotated: `"head"` or `"tail"`.
        order: `"bhsd"`, `"bshd"`, `"sbhd"`, or `"thd"` for packed tokens.
        transpose: Rotate back: the sign of sin flipped.
        rotary_dim: How many channels rotate, where it is to be checked: 2 · pairs.

    Raises:
        RopeConfigError: A dtype or a shape does not fit, or cos and sin hold each angle twice.
    """
    pairs = rotary_pairs(rotary_dim)
    if pairs is None:
        _repeated.check(q, cos, sin)
    how = layout, side, order, transpose, pairs
    arrays = (q, cos, sin) if k is None else (q, k, cos, sin)
    done = _GIVEN(how, _given_graph, arrays) if _replayed(arrays) and set(map(type, how)) <= _WORDS else None
    return _rotated_by_given(q, k, cos, sin, how) if done is None else done


_GIVEN: Final = Replays()
_WORDS: Final = {str, bool, int, NoneType}

_How = tuple[Layout, Side, Order, bool, int | None]


def _given_graph(how: _How) -> Callable[..., Any]:
    """Return a function of q, perhaps k, cos and sin, that rotates; see `Replays`."""

    def rotated(q: mx.array, *others: mx.array) -> Any:
        *k, cos, sin = others
        return _rotated_by_given(q, k[0] if k else None, cos, sin, how)

    return rotated


def _rotated_by_given(q: mx.array, k: mx.array | None, cos: mx.array, sin: mx.array, how: _How) -> Any:
    layout, side, order, transpose, pairs = how
    form: dict[str, Any] = {"layout": layout, "side": side, "order": order, "transpose": transpose}
    return rotate_given(RotaryEmbedding.ops, q, k, cos, sin, pairs=pairs, **form)


def _replayed(arrays: tuple[Any, ...]) -> bool:
    """Return whether a call with these arrays, q first, may be replayed: where Python would take a good part of it."""
    if set(map(type, arrays)) != {mx.array} or is_exporting():
        return False
    return bool(arrays[0].size <= LARGEST or kernel.serves())
