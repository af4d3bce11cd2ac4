"""`RotaryEmbedding` and `rotate` for PyTorch."""

from typing import Any, ClassVar, Final, TypeAlias, Unpack, overload

import torch
from numpy.typing import NDArray

from tightrope.backends.shared.arguments import ORDERS, Lengths, batch_and_seq
from tightrope.backends.shared.arguments.repeated import RepeatedAngles
from tightrope.backends.shared.ops import Ops, Order
from tightrope.backends.shared.rope_angles import RopeAngles
from tightrope.backends.shared.rotary import RotaryBase
from tightrope.backends.shared.rotation import Angles, CallKeywords, RotateKeywords, rotary_pairs, rotate_given
from tightrope.backends.torch.dispatch import rotate_at_once
from tightrope.backends.torch.kernels.cpu import serving_tensors
from tightrope.backends.torch.ops import TorchOps
from tightrope.rope.config.terms import Layout, Side

_Integers: TypeAlias = torch.Tensor | NDArray[Any]
_Angles: TypeAlias = Angles | tuple[torch.Tensor, torch.Tensor]

# Positions up to here count on for as many tokens as there can be, without passing 64 bits.
_FAR: Final = 2**62


class RotaryEmbedding(RotaryBase, torch.nn.Module):
    """Rotates queries and keys by their positions: a torch module without parameters and buffers.

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

    ops: ClassVar[Ops] = TorchOps()

    forward = RotaryBase.__call__
    extra_repr = RotaryBase._description

    @overload
    def __call__(
        self, q: torch.Tensor, k: None = None, **keywords: Unpack[CallKeywords[torch.Tensor]]
    ) -> torch.Tensor: ...
    @overload
    def __call__(
        self, q: torch.Tensor, k: torch.Tensor, **keywords: Unpack[CallKeywords[torch.Tensor]]
    ) -> tuple[torch.Tensor, torch.Tensor]: ...
    def __call__(
        self, q: torch.Tensor, k: torch.Tensor | None = None, *, positions: _Integers | None = None,
        offset: int | _Integers | None = None, angles: _Angles | None = None,
        seq_len: Lengths | None = None, layer_type: str | None = None, order: Order = "bhsd",
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """Return q, or (q, k), rotated.

        Args:
            q: A float tensor, its first or last rotary_dim channels to be rotated.
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
        rotated: torch.Tensor | tuple[torch.Tensor, torch.Tensor] = torch.nn.Module.__call__(
            self, q, k, positions=positions, offset=offset, angles=angles, seq_len=seq_len, layer_type=layer_type,
            order=order,
        )  # fmt: skip
        return rotated

    @overload
    def rotate_(
        self, q: torch.Tensor, k: None = None, **keywords: Unpack[CallKeywords[torch.Tensor]]
    ) -> torch.Tensor: ...
    @overload
    def rotate_(
        self, q: torch.Tensor, k: torch.Tensor, **keywords: Unpack[CallKeywords[torch.Tensor]]
    ) -> tuple[torch.Tensor, torch.Tensor]: ...
    def rotate_(
        self, q: torch.Tensor, k: torch.Tensor | None = None, *, positions: _Integers | None = None,
        offset: int | _Integers | None = None, angles: _Angles | None = None,
        seq_len: Lengths | None = None, layer_type: str | None = None, order: Order = "bhsd",
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """Rotate q and k in place and return them; arguments as in a call."""
        rotated: torch.Tensor | tuple[torch.Tensor, torch.Tensor] = self._rotated(
            q, k, positions, offset, angles, seq_len, layer_type, order, in_place=True
        )
        return rotated

    def _rotated_at_once(
        self, q: Any, k: Any, positions: Any, offset: Any, angles: Any, seq_len: Any, layer_type: str | None,
        order: Order, in_place: bool,
    ) -> Any:  # fmt: skip
        """By the C kernel: by angles that exist, which a step has for every layer, or by exact phases."""
        rope_angles = self._chosen(layer_type)
        rope, where = rope_angles.config, offset if positions is None else positions
        sources: tuple[Any, ...] | None = None
        if angles is None:
            if seq_len is None and (positions is None or offset is None):
                counted = where is None or (positions is None and type(where) is int)
                sources = () if counted else (where,)
        elif where is None and seq_len is None:
            sources = _given(angles, self._key(layer_type))
        xs = (q,) if k is None else (q, k)
        kernel = None if sources is None else serving_tensors(xs, sources)
        if kernel is None:
            return None
        parts = sources if angles is not None else _phase(rope_angles, q, positions, offset, order)
        done = None if parts is None else rotate_at_once(
            kernel, xs, parts, pairs=rope.pairs, layout=rope.layout, side=rope.side, order=order, in_place=in_place
        )  # fmt: skip
        return done[0] if done is not None and k is None else done

    def cis(
        self, positions: torch.Tensor, *, seq_len: Lengths | None = None, layer_type: str | None = None
    ) -> torch.Tensor:
        """Return cos + i sin, complex64 (batch, seq, rotary_dim // 2); see `cos_sin`. MPS has no complex numbers."""
        return torch.complex(*self.cos_sin(positions, seq_len=seq_len, layer_type=layer_type))


def _given(angles: Any, key: str) -> tuple[Any, Any] | None:
    """Return cos and sin of a rope from what a caller passed as angles, unchecked; None where they are not there."""
    if type(angles) is tuple and len(angles) == 2:
        return angles
    if not isinstance(angles, Angles) or key not in angles:
        return None
    table = angles[key]
    return table.cos, table.sin


def _phase(rope_angles: RopeAngles, q: torch.Tensor, positions: Any, offset: Any, order: Order) -> Any:
    """Return what the C kernel takes as phases; None where there is more to decide."""
    where: Any = 0 if offset is None else offset
    axes, end = None, None
    if positions is not None:
        where = positions if positions.ndim > 1 else positions.reshape(1, -1)
        axes = rope_angles.axes(where.shape[0], q) if where.ndim == 3 else None
        if where.ndim == 3 and where.shape[0] > 1 and axes is None:
            return None
    elif abs(where) > _FAR if type(where) is int else where.ndim > 1:
        return None
    elif type(where) is int and rope_angles.schedule.boundary is not None and order in ORDERS and q.ndim == len(order):
        end = where + batch_and_seq(q, order)[1]
    parts = rope_angles.prepared(end, q)
    return None if parts is None else (where, *parts, axes)


_repeated: Final = RepeatedAngles(RotaryEmbedding.ops)


@overload
def rotate(q: torch.Tensor, k: None = None, **keywords: Unpack[RotateKeywords[torch.Tensor]]) -> torch.Tensor: ...
@overload
def rotate(
    q: torch.Tensor, k: torch.Tensor, **keywords: Unpack[RotateKeywords[torch.Tensor]]
) -> tuple[torch.Tensor, torch.Tensor]: ...
def rotate(
    q: torch.Tensor, k: torch.Tensor | None = None, *, cos: torch.Tensor, sin: torch.Tensor, layout: Layout,
    side: Side = "head", order: Order = "bhsd", transpose: bool = False, rotary_dim: int | None = None,
) -> Any:  # fmt: skip
    """Return q, or (q, k), rotated by given angles; see `tightrope.backends.shared.rotation.rotate_given`.

    y1 = x1 · cos − x2 · sin,    y2 = x1 · sin + x2 · cos

    Args:
        q: A float tensor, at least 2 · pairs wide; computed in float32 (float64 as it is), rounded once.
        k: As q; heads and width may differ.
        cos: (batch or 1, seq, pairs), attention factor in.
        sin: As cos. Tables that hold each angle twice, as transformers' do, are refused. Where rotary_dim is not given
            their values tell: on the CPU of every table; on a GPU, which has to be waited for, of the first of each
            width; of none while a graph is being made.
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
    how: dict[str, Any] = {"layout": layout, "side": side, "order": order, "transpose": transpose}
    xs = (q,) if k is None else (q, k)
    kernel = serving_tensors(xs, (cos, sin)) if type(transpose) is bool else None
    done = None if kernel is None else rotate_at_once(kernel, xs, (cos, sin), pairs=pairs or -1, **how)
    if done is None:
        return rotate_given(RotaryEmbedding.ops, q, k, cos, sin, pairs=pairs, **how)
    return done[0] if k is None else done
