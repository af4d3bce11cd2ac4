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
from tightrope.backends.torch.rope_utils import apply_rotary_pos_emb as _full_width
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
        inplace: Write the result into x.
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
    positions = _positions(x, seqlen_offsets, cu_seqlens, max_seqlen)
    if positions.numel() and (int(positions.min()) < 0 or int(positions.max()) >= len(cos)):
        raise RopeConfigError(
            f"cos and sin must hold positions {int(positions.min())} to {int(positions.max())}, got {len(cos)} rows"
        )
    rows = positions if positions.ndim == 2 else positions[None]
    layout: Layout = "interleaved" if interleaved else "half"
    rotated = rotate(x, cos=cos[rows].float(), sin=sin[rows].float(), layout=layout, order=order)
    return x.copy_(rotated) if inplace else rotated


def liger_rotary_pos_emb(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, position_ids: torch.Tensor | None = None,
    unsqueeze_dim: int = 1,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Return q and k rotated by full-width tables: Liger's function; see `rope_utils.apply_rotary_pos_emb`."""
    rotated: Any = _full_width(q, k, cos, sin, position_ids, unsqueeze_dim)
    return rotated[0], rotated[1]


def apply_rotary_pos_emb(
    t: torch.Tensor, freqs: torch.Tensor, tensor_format: TensorFormat = "sbhd", fused: bool = False,
    cu_seqlens: torch.Tensor | None = None, interleaved: bool = False,
) -> torch.Tensor:  # fmt: skip
    """Return t rotated by angles: TransformerEngine's function, without its context parallelism.

    Args:
        t: (seq, batch, heads, dim), (batch, seq, heads, dim) or (total, heads, dim), as tensor_format says.
        freqs: float32 (length, 1, 1, rotary_dim), radians: each angle twice, one half after the other.
        tensor_format: The order of the axes of t.
        fused: One kernel serves either way; only True or False is checked.
        cu_seqlens: (batch + 1,): where each packed sequence starts; needed with `"thd"`.
        interleaved: Pairs (2 i, 2 i + 1) in place of (i, i + rotary_dim // 2).

    Raises:
        RopeConfigError: A shape does not fit, or cu_seqlens is missing or given for another format.
    """
    switches = (*one_of("fused", fused, _SWITCH), *one_of("interleaved", interleaved, _SWITCH))
    require([*one_of("tensor_format", tensor_format, _FORMATS), *switches])
    if (tensor_format == "thd") != (cu_seqlens is not None):
        raise RopeConfigError("cu_seqlens belongs to tensor_format 'thd': give both or neither")
    _check(t=(t, len(tensor_format)))
    angles = _half(freqs)
    if cu_seqlens is None:
        angles = angles[: t.shape[1 if tensor_format == "bshd" else 0]][None]
    else:
        within = _within(_starts(cu_seqlens, t.shape[0], t), t.shape[0])
        if within.numel() and int(within.max()) >= len(angles):
            longest = int(within.max()) + 1
            raise RopeConfigError(f"freqs must hold the {longest} positions of the longest sequence, got {len(angles)}")
        angles = angles[within][None]
    layout: Layout = "interleaved" if interleaved else "half"
    return rotate(t, cos=angles.cos(), sin=angles.sin(), layout=layout, order=tensor_format)


def fused_apply_rotary_pos_emb(
    t: torch.Tensor, freqs: torch.Tensor, transpose_output_memory: bool = False
) -> torch.Tensor:
    """Return t (seq, batch, heads, dim) rotated by angles (seq, 1, 1, rotary_dim): Apex's function.

    With transpose_output_memory the result lies in memory as (batch, seq, heads, dim).
    """
    return _laid_out(apply_rotary_pos_emb(t, freqs), transpose_output_memory)


def fused_apply_rotary_pos_emb_cached(
    t: torch.Tensor, cos_: torch.Tensor, sin_: torch.Tensor, transpose_output_memory: bool = False
) -> torch.Tensor:
    """Return t (seq, batch, heads, dim) rotated by cos and sin (seq, 1, 1, rotary_dim): Apex's function."""
    _check(t=(t, 4))
    cos, sin = _half(cos_)[None], _half(sin_)[None]
    return _laid_out(rotate(t, cos=cos, sin=sin, layout="half", order="sbhd"), transpose_output_memory)


def fused_apply_rotary_pos_emb_thd(t: torch.Tensor, cu_seqlens: torch.Tensor, freqs: torch.Tensor) -> torch.Tensor:
    """Return packed t (total, heads, dim) rotated by angles (max_seqlen, 1, 1, rotary_dim): Apex's function."""
    return apply_rotary_pos_emb(t, freqs, "thd", cu_seqlens=cu_seqlens)


def _laid_out(rotated: torch.Tensor, transposed: bool) -> torch.Tensor:
    require(one_of("transpose_output_memory", transposed, _SWITCH))
    return rotated.transpose(0, 1).contiguous().transpose(0, 1) if transposed else rotated


def _half(table: torch.Tensor) -> torch.Tensor:
    """Return (length, pairs) float32 of (length, 1, 1, rotary_dim), in which each entry stands twice."""
    fits = isinstance(table, torch.Tensor) and table.ndim == 4 and table.shape[1:3] == (1, 1)
    if not fits or not table.is_floating_point() or table.shape[-1] % 2:
        raise RopeConfigError(
            f"angles must be (length, 1, 1, rotary_dim) with an even rotary_dim, got shape "
            f"{tuple(getattr(table, 'shape', ()))}"
        )
    return table[:, 0, 0, : table.shape[-1] // 2].float()


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


def _positions(x: torch.Tensor, offsets: Any, cu_seqlens: Any, max_seqlen: int | None) -> torch.Tensor:
    """Return the position of each token: (seq,), (batch, seq), or (total,) of packed ones."""
    if cu_seqlens is None:
        counted: torch.Tensor = positions_from(_OPS, "seqlen_offsets", offsets, x.shape[1], x).values[0]
        return counted
    starts = _starts(cu_seqlens, x.shape[0], x)
    longest = int(starts.diff().max()) if len(starts) > 1 else 0
    if max_seqlen is not None and longest > whole_number("max_seqlen", max_seqlen, 0):
        raise RopeConfigError(f"max_seqlen must be at least {longest}, the longest sequence; got {max_seqlen}")
    within = _within(starts, x.shape[0])
    first: torch.Tensor = positions_from(_OPS, "seqlen_offsets", offsets, 1, x).values.reshape(-1)
    if len(first) not in (1, len(starts) - 1):
        raise RopeConfigError(f"seqlen_offsets must be one or one per sequence ({len(starts) - 1}), got {len(first)}")
    return within + (first if len(first) == 1 else first[_sequence(starts, x.shape[0])])
