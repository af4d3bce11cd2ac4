"""Functions with the signatures of other rotary kernels, so that switching is one import line.

flash-attn's `apply_rotary_emb`, Liger's `liger_rotary_pos_emb`, TransformerEngine's `apply_rotary_pos_emb` and Apex's
`fused_apply_rotary_pos_emb…`. Each delegates to the one rotation: any dtype, computed in float32, rounded once. New
code takes `tightrope.backends.torch.RotaryEmbedding`.
"""

from typing import Any, Final, Literal

import torch

from tightrope.backends.shared.ops import Order
from tightrope.backends.shared.positions import integers, positions_from
from tightrope.backends.torch.kernels.cpu import overlaps
from tightrope.backends.torch.module import rotate
from tightrope.backends.torch.ops import TorchOps
from tightrope.backends.torch.transformers.names import NAMES
from tightrope.rope.config.terms import Layout
from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.support.validation import one_of, require, whole_number

__all__ = [
    "apply_rotary_emb", "apply_rotary_pos_emb", "fused_apply_rotary_pos_emb", "fused_apply_rotary_pos_emb_cached",
    "fused_apply_rotary_pos_emb_thd", "liger_rotary_pos_emb",
]  # fmt: skip

TensorFormat = Literal["sbhd", "bshd", "thd"]

_FORMATS: Final = ("sbhd", "bshd", "thd")
_SWITCH: Final = (True, False)
_OPS: Final = TorchOps()


def apply_rotary_emb(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, interleaved: bool = False, inplace: bool = False,
    seqlen_offsets: int | torch.Tensor = 0, cu_seqlens: torch.Tensor | None = None, max_seqlen: int | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return x rotated by tables that begin at position 0: flash-attn's function.

    Args:
        x: (batch, seqlen, nheads, headdim), or with cu_seqlens (total, nheads, headdim).
        cos: (seqlen_rotary, rotary_dim // 2).
        sin: As cos.
        interleaved: Pairs (2 i, 2 i + 1) in place of (i, i + rotary_dim // 2).
        inplace: Write the result into x, also where x is a leaf that requires a gradient.
        seqlen_offsets: The position of the first token: an int, or one per sequence (batch,).
        cu_seqlens: (batch + 1,): where each packed sequence starts.
        max_seqlen: The longest packed sequence; checked where it is given, needed by no kernel here.

    Raises:
        RopeConfigError: A position lies beyond the tables, or a shape does not fit.
    """
    order: Order = "bshd" if cu_seqlens is None else "thd"
    _check(x=(x, len(order)), cos=(cos, 2), sin=(sin, 2))
    require([*one_of("interleaved", interleaved, _SWITCH), *one_of("inplace", inplace, _SWITCH)])
    if cos.shape != sin.shape:
        raise RopeConfigError(f"cos and sin must have one shape, got {tuple(cos.shape)} and {tuple(sin.shape)}")
    if inplace and overlaps(x):
        raise RopeConfigError(
            "x cannot be rotated in place: its elements share memory; rotate before expand, or a copy"
        )
    if max_seqlen is not None:
        _require_longest(x, cu_seqlens, max_seqlen)
    positions = _positions(x, x.shape[1 if cu_seqlens is None else 0], "seqlen_offsets", seqlen_offsets, cu_seqlens)
    layout: Layout = "interleaved" if interleaved else "half"
    cos, sin = (_taken(table, positions, "cos and sin").float() for table in (cos, sin))
    rotated = rotate(x, cos=cos, sin=sin, layout=layout, order=order)
    return _written(rotated, x) if inplace else rotated


def liger_rotary_pos_emb(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, position_ids: torch.Tensor | None = None,
    unsqueeze_dim: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Return q and k rotated by full-width tables: Liger's function; see `rope_utils.apply_rotary_pos_emb`."""
    rotated: Any = NAMES.apply_rotary_pos_emb(q, k, cos, sin, position_ids, unsqueeze_dim)
    return rotated[0], rotated[1]


def apply_rotary_pos_emb(
    t: torch.Tensor, freqs: torch.Tensor, tensor_format: TensorFormat = "sbhd",
    start_positions: torch.Tensor | None = None, interleaved: bool = False, fused: bool = False,
    cu_seqlens: torch.Tensor | None = None, cp_size: int = 1, cp_rank: int = 0,
) -> torch.Tensor:  # fmt: skip
    """Return t rotated by angles: TransformerEngine's function.

    Args:
        t: (seq, batch, heads, dim), (batch, seq, heads, dim) or (total, heads, dim), as tensor_format says.
        freqs: float32 (length, 1, 1, rotary_dim), radians: each angle twice, in both channels of its pair.
        tensor_format: The order of the axes of t.
        start_positions: (batch,): the position of each sequence's first token; not with context parallelism.
        interleaved: Pairs (2 i, 2 i + 1) in place of (i, i + rotary_dim // 2).
        fused: One kernel serves either way; only True or False is checked.
        cu_seqlens: (batch + 1,): where each packed sequence of all ranks starts; needed with `"thd"`.
        cp_size: Ranks of context parallelism; each holds two of the 2 cp_size equal parts of a sequence.
        cp_rank: Which of them this is: it holds parts cp_rank and 2 cp_size − 1 − cp_rank.

    Raises:
        RopeConfigError: A shape does not fit, a position lies beyond the angles, or cu_seqlens is missing or given for
            another format.
    """
    switches = (*one_of("fused", fused, _SWITCH), *one_of("interleaved", interleaved, _SWITCH))
    require([*one_of("tensor_format", tensor_format, _FORMATS), *switches])
    if (tensor_format == "thd") != (cu_seqlens is not None):
        raise RopeConfigError("cu_seqlens belongs to tensor_format 'thd': give both or neither")
    cp_size, cp_rank = whole_number("cp_size", cp_size, 1), whole_number("cp_rank", cp_rank, 0)
    if cp_rank >= cp_size or (cp_size > 1 and start_positions is not None):
        raise RopeConfigError(
            "cp_rank must be from 0 to cp_size - 1, and start_positions needs cp_size 1; got cp_rank "
            f"{cp_rank}, cp_size {cp_size}"
        )
    _check(t=(t, len(tensor_format)))
    layout: Layout = "interleaved" if interleaved else "half"
    first = 0 if start_positions is None else start_positions
    seq = t.shape[1 if tensor_format == "bshd" else 0]
    positions = _positions(t, seq, "start_positions", first, cu_seqlens, cp_size, cp_rank)
    angles = _taken(_half(freqs, layout), positions, "freqs")
    return rotate(t, cos=angles.cos(), sin=angles.sin(), layout=layout, order=tensor_format)


def fused_apply_rotary_pos_emb(
    t: torch.Tensor, freqs: torch.Tensor, transpose_output_memory: bool = False
) -> torch.Tensor:
    """Return t (seq, batch, heads, dim) rotated by angles (≥ seq, 1, 1, rotary_dim): Apex's function.

    With transpose_output_memory the result lies in memory as (batch, seq, heads, dim).
    """
    return _laid_out(apply_rotary_pos_emb(t, freqs), transpose_output_memory)


def fused_apply_rotary_pos_emb_cached(
    t: torch.Tensor, cos_: torch.Tensor, sin_: torch.Tensor, transpose_output_memory: bool = False
) -> torch.Tensor:
    """Return t (seq, batch, heads, dim) rotated by cos and sin (≥ seq, 1, 1, rotary_dim): Apex's function."""
    _check(t=(t, 4))
    positions = torch.arange(t.shape[0], device=t.device)
    cos, sin = (_taken(_half(table, "half"), positions, "cos_ and sin_") for table in (cos_, sin_))
    return _laid_out(rotate(t, cos=cos, sin=sin, layout="half", order="sbhd"), transpose_output_memory)


def fused_apply_rotary_pos_emb_thd(t: torch.Tensor, cu_seqlens: torch.Tensor, freqs: torch.Tensor) -> torch.Tensor:
    """Return packed t (total, heads, dim) rotated by angles (≥ max_seqlen, 1, 1, rotary_dim): Apex's function."""
    return apply_rotary_pos_emb(t, freqs, "thd", cu_seqlens=cu_seqlens)


def _laid_out(rotated: torch.Tensor, transposed: bool) -> torch.Tensor:
    require(one_of("transpose_output_memory", transposed, _SWITCH))
    return rotated.transpose(0, 1).contiguous().transpose(0, 1) if transposed else rotated


def _half(table: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Return (length, pairs) float32 of (length, 1, 1, rotary_dim), in which each pair's entry stands twice."""
    fits = isinstance(table, torch.Tensor) and table.ndim == 4 and table.shape[1:3] == (1, 1)
    if not fits or not table.is_floating_point() or table.shape[-1] % 2:
        raise RopeConfigError(
            f"angles must be (length, 1, 1, rotary_dim) with an even rotary_dim, got shape "
            f"{tuple(getattr(table, 'shape', ()))}"
        )
    entries = table[:, 0, 0].float()
    return entries[:, ::2] if layout == "interleaved" else entries[:, : table.shape[-1] // 2]


def _check(**tensors: tuple[object, int]) -> None:
    """Raise where one is no float tensor with so many axes."""
    for name, (x, axes) in tensors.items():
        if not isinstance(x, torch.Tensor):
            raise RopeConfigError(f"{name} must be a float tensor of {axes} axes, got {shortened(x)}")
        if x.ndim != axes or not x.is_floating_point():
            got = f"{x.dtype} of shape {tuple(x.shape)}"
            raise RopeConfigError(f"{name} must be a float tensor of {axes} axes, got {got}")


def _starts(cu_seqlens: Any, total: int, like: torch.Tensor) -> torch.Tensor:
    """Return where each packed sequence starts, int64 (sequences + 1,), after a check that they hold every token."""
    given, _ = integers(_OPS, "cu_seqlens", cu_seqlens, like, "an integer")
    starts: torch.Tensor = given.to(torch.int64)
    found = starts.tolist() if starts.ndim == 1 else []
    if not found or found[0] != 0 or found[-1] != total or found != sorted(found):
        raise RopeConfigError(f"cu_seqlens must rise from 0 to the {total} tokens, got {shortened(starts.tolist())}")
    return starts


def _within(starts: torch.Tensor, total: int) -> torch.Tensor:
    """Return the position of each packed token within its sequence: (total,)."""
    return torch.arange(total, device=starts.device) - starts[_sequence(starts, total)]


def _sequence(starts: torch.Tensor, total: int) -> torch.Tensor:
    """Return the sequence of each packed token: (total,)."""
    return torch.searchsorted(starts, torch.arange(total, device=starts.device), right=True) - 1


def _positions(
    x: torch.Tensor, seq: int, name: str, first: Any, cu_seqlens: Any, cp_size: int = 1, cp_rank: int = 0
) -> torch.Tensor:
    """Return the position of each token: (seq,), (batch, seq), or (total,) of packed ones."""
    if cu_seqlens is None:
        within = _of_rank(torch.arange(seq, device=x.device), seq, cp_size, cp_rank)
        counted: torch.Tensor = positions_from(_OPS, name, first, 1, x).values[0]
        return within + counted
    starts = _starts(cu_seqlens, cp_size * seq, x) // cp_size
    sequence = _sequence(starts, seq)
    within = _of_rank(_within(starts, seq), starts.diff()[sequence], cp_size, cp_rank)
    own: torch.Tensor = positions_from(_OPS, name, first, 1, x).values.reshape(-1)
    if len(own) not in (1, len(starts) - 1):
        raise RopeConfigError(f"{name} must be one or one per sequence ({len(starts) - 1}), got {len(own)}")
    return within + (own if len(own) == 1 else own[sequence])


def _require_longest(x: torch.Tensor, cu_seqlens: Any, max_seqlen: int) -> None:
    starts = None if cu_seqlens is None else _starts(cu_seqlens, x.shape[0], x)
    longest = x.shape[1] if starts is None else int(starts.diff().max()) if len(starts) > 1 else 0
    if longest > whole_number("max_seqlen", max_seqlen, 0):
        raise RopeConfigError(f"max_seqlen must be at least {longest}, the longest sequence; got {max_seqlen}")


def _taken(table: torch.Tensor, rows: torch.Tensor, name: str) -> torch.Tensor:
    """Return the rows of a table, (1 or batch, seq, pairs)."""
    if rows.numel():
        first, last = (int(bound) for bound in rows.aminmax())
        if first < 0 or last >= len(table):
            raise RopeConfigError(f"{name} must hold positions {first} to {last}, got {len(table)} rows")
    return table[rows if rows.ndim == 2 else rows[None]]


def _of_rank(within: torch.Tensor, length: int | torch.Tensor, cp_size: int, cp_rank: int) -> torch.Tensor:
    """Return the position in the whole sequence of the tokens that a rank holds: two of its 2 cp_size parts."""
    if cp_size == 1:
        return within
    part = length // 2
    second = cp_size * length - (cp_rank + 1) * part - part
    return within + torch.where(within < part, cp_rank * part, second)


class _InPlace(torch.autograd.Function):
    """Give memory that autograd does not follow the values, and the gradient, of another tensor."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        ctx.mark_dirty(memory)
        return memory.copy_(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


def _written(rotated: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return x with rotated in its memory; of a leaf that requires a gradient, a tensor on the same memory."""
    if x.is_leaf and x.requires_grad and torch.is_grad_enabled():
        written: torch.Tensor = _InPlace.apply(rotated, x.detach())  # type: ignore[no-untyped-call]  # untyped in torch
        return written
    return x.copy_(rotated)
