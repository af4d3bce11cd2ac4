"""Functions with the signatures of other rotary kernels, so that switching is one import line.

flash-attn's `apply_rotary_emb`, Liger's `liger_rotary_pos_emb`, TransformerEngine's `apply_rotary_pos_emb` and Apex's
`fused_apply_rotary_pos_emb…`. Each delegates to the one rotation: any dtype, computed in float32, rounded once. New
code takes `tightrope.backends.torch.RotaryEmbedding`.
"""

from typing import Any, Final, Literal

import torch

from tightrope.backends.shared.ops import Order
from tightrope.backends.torch.module import rotate
from tightrope.backends.torch.rope_utils import apply_rotary_pos_emb as _full_width
from tightrope.rope.config.terms import Layout
from tightrope.rope.errors import RopeConfigError, shortened

__all__ = [
    "apply_rotary_emb", "apply_rotary_pos_emb", "fused_apply_rotary_pos_emb", "fused_apply_rotary_pos_emb_cached",
    "fused_apply_rotary_pos_emb_thd", "liger_rotary_pos_emb",
]  # fmt: skip

TensorFormat = Literal["sbhd", "bshd", "thd"]

_FORMATS: Final = ("sbhd", "bshd", "thd")


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
    if tensor_format not in _FORMATS or not isinstance(fused, bool):
        raise RopeConfigError(
            f"tensor_format must be one of {', '.join(map(repr, _FORMATS))} and fused a bool, got "
            f"{shortened(tensor_format)} and {shortened(fused)}"
        )
    if (tensor_format == "thd") != (cu_seqlens is not None):
        raise RopeConfigError("cu_seqlens belongs to tensor_format 'thd': give both or neither")
    angles = _half(freqs)
    seq = t.shape[0] if tensor_format != "bshd" else t.shape[1]
    angles = angles[:seq][None] if cu_seqlens is None else angles[_within(cu_seqlens, t.shape[0])][None]
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
    cos, sin = _half(cos_)[None], _half(sin_)[None]
    return _laid_out(rotate(t, cos=cos, sin=sin, layout="half", order="sbhd"), transpose_output_memory)


def fused_apply_rotary_pos_emb_thd(t: torch.Tensor, cu_seqlens: torch.Tensor, freqs: torch.Tensor) -> torch.Tensor:
    """Return packed t (total, heads, dim) rotated by angles (max_seqlen, 1, 1, rotary_dim): Apex's function."""
    return apply_rotary_pos_emb(t, freqs, "thd", cu_seqlens=cu_seqlens)


def _laid_out(rotated: torch.Tensor, transposed: bool) -> torch.Tensor:
    return rotated.transpose(0, 1).contiguous().transpose(0, 1) if transposed else rotated


def _half(table: torch.Tensor) -> torch.Tensor:
    """Return (length, pairs) float32 of (length, 1, 1, rotary_dim), in which each entry stands twice."""
    if table.ndim != 4 or table.shape[1:3] != (1, 1) or table.shape[-1] % 2:
        raise RopeConfigError(
            f"angles must be (length, 1, 1, rotary_dim) with an even rotary_dim, got shape {tuple(table.shape)}"
        )
    return table[:, 0, 0, : table.shape[-1] // 2].float()


def _within(cu_seqlens: torch.Tensor, total: int) -> torch.Tensor:
    """Return the position of each packed token within its sequence: (total,)."""
    starts = cu_seqlens.to(torch.int64)
    tokens = torch.arange(total, device=cu_seqlens.device)
    sequence = torch.searchsorted(starts, tokens, right=True) - 1
    return tokens - starts[sequence]


def _positions(
    x: torch.Tensor, offsets: int | torch.Tensor, cu_seqlens: torch.Tensor | None, max_seqlen: int | None
) -> torch.Tensor:
    """Return the position of each token: (seq,), (batch, seq), or (total,) of packed ones."""
    if cu_seqlens is None:
        first = torch.as_tensor(offsets, device=x.device).to(torch.int64).reshape(-1, 1)
        return first + torch.arange(x.shape[1], device=x.device)
    lengths = cu_seqlens[1:] - cu_seqlens[:-1]
    if max_seqlen is not None and len(lengths) and int(lengths.max()) > max_seqlen:
        raise RopeConfigError(
            f"max_seqlen must be at least {int(lengths.max())}, the longest sequence; got {max_seqlen}"
        )
    within = _within(cu_seqlens, x.shape[0])
    if isinstance(offsets, int):
        return within + offsets
    starts = cu_seqlens.to(torch.int64)
    tokens = torch.arange(x.shape[0], device=x.device)
    return within + offsets.to(torch.int64)[torch.searchsorted(starts, tokens, right=True) - 1]
