"""Launch the Triton kernel on torch tensors: q and k in one launch, in place or into other tensors."""

from typing import Any, Final

import torch
import triton

from tightrope.backends.shared.angles import Phase, Table, rotated_start
from tightrope.backends.torch.kernels import triton_kernel
from tightrope.rope.config.terms import Layout, Side

# A program's share, in pairs of channels, and a warp's, in bytes of half of them: two 16-byte accesses a thread.
# On paper, moving these bytes then takes longer than issuing the instructions (see static_facts.json of the tests).
_TILE: Final = 1024
_BYTES_PER_WARP: Final = 2 * 16 * 32
_MAX_WARPS: Final = 8


def rotate(
    q: torch.Tensor, k: torch.Tensor | None, q_out: torch.Tensor, k_out: torch.Tensor | None, angles: Phase | Table,
    *, layout: Layout, side: Side, transpose: bool,
) -> None:  # fmt: skip
    """Write q and k, rotated, into q_out and k_out, which may be q and k themselves. One launch, no host read.

    Args:
        q: (batch, seq, heads, width), float32, bfloat16 or float16, any strides.
        k: As q, of the same dtype; heads and width may differ.
        q_out: Shaped as q; any strides under which no two elements overlap.
        k_out: As q_out, for k.
        angles: See `Phase` and `Table`; their batch is that of q.
        layout: Which channels form a pair.
        side: Which end of the width is rotated.
        transpose: Rotate back: the sign of sin flipped.
    """
    batch, seq, heads, _ = q.shape
    if batch * seq == 0:
        return
    pairs = angles.pairs
    lanes = triton.next_power_of_2(pairs)
    block = _block(heads, lanes)
    k_heads = 0 if k is None else k.shape[2]
    k_block = _block(k_heads, lanes)
    with torch.cuda.device_of(q):  # type: ignore[no-untyped-call]  # untyped in torch
        triton_kernel.rotate_qk[(batch * seq, triton.cdiv(heads, block) + triton.cdiv(k_heads, k_block))](
            *_pointers(q, q_out), *_pointers(k, k_out), **_sources(angles), seq=seq, PAIRS=pairs, LANES=lanes,
            **_shape("Q", q, q_out, block, pairs, side), **_shape("K", k, k_out, k_block, pairs, side),
            INTERLEAVED=layout == "interleaved", TRANSPOSE=transpose,
            num_warps=min(_MAX_WARPS, max(1, block * lanes * q.element_size() // _BYTES_PER_WARP)),
            enable_fp_fusion=False,
        )  # fmt: skip


def cos_sin(phase: Phase, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Write cos and sin of exact phases, attention factor in: float32 (batch, seq, pairs), contiguous."""
    batch, seq, pairs = cos.shape
    if batch * seq == 0:
        return
    with torch.cuda.device_of(cos):  # type: ignore[no-untyped-call]  # untyped in torch
        triton_kernel.cos_sin[(batch * seq,)](
            **_phase(phase), cos=cos, sin=sin, seq=seq, PAIRS=pairs, LANES=triton.next_power_of_2(pairs),
            num_warps=1, enable_fp_fusion=False,
        )  # fmt: skip


def _block(heads: int, lanes: int) -> int:
    """Return how many heads a program turns: a power of two."""
    most: int = triton.next_power_of_2(max(heads, 1))
    return max(1, min(most, _TILE // lanes))


def _pointers(x: torch.Tensor | None, out: torch.Tensor | None) -> tuple[Any, ...]:
    if x is None or out is None:
        return None, None, None, None
    return x, out, x.stride(), out.stride()


def _sources(angles: Phase | Table) -> dict[str, Any]:
    """Return the kernel's arguments of both sources; those of the other one are None."""
    if isinstance(angles, Phase):
        return _phase(angles) | dict.fromkeys(("cos", "cos_strides", "sin", "sin_strides"))
    unused = dict.fromkeys(("positions", "position_strides", "turns", "gains", "rows", "row_stride", "axes"))
    cos, sin = angles.cos, angles.sin
    return unused | {"cos": cos, "cos_strides": cos.stride(), "sin": sin, "sin_strides": sin.stride()}


def _phase(phase: Phase) -> dict[str, Any]:
    return {
        "positions": phase.positions,
        "position_strides": phase.positions.stride(),
        "turns": phase.turns,
        "gains": phase.attention_factors,
        "rows": phase.rows,
        "row_stride": None if phase.rows is None else phase.rows.stride(0),
        "axes": phase.axes,
    }


def _shape(
    prefix: str, x: torch.Tensor | None, out: torch.Tensor | None, block: int, pairs: int, side: Side
) -> dict[str, int | bool]:
    heads, width = (0, 2 * pairs) if x is None else x.shape[2:]
    start = rotated_start(width, pairs, side)
    shape = {"HEADS": heads, "WIDTH": width, "START": start, "BLOCK": block, "COPY": out is not x}
    return {f"{prefix}_{name}": value for name, value in shape.items()}
