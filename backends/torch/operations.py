"""The rotation by PyTorch operations, for devices that have no kernel, and for graphs that a compiler fuses."""

import torch

from tightrope.backends.shared.ops import Order
from tightrope.rope.config.terms import Layout, Side
from tightrope.rope.reference import pair_slices


def write(
    x: torch.Tensor, out: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor,
    *, layout: Layout, side: Side, transpose: bool,
) -> None:  # fmt: skip
    """Write x, rotated, into out, which may be x itself.

    Args:
        x: (…, width), any strides.
        out: As x.
        cos: (…, pairs) float32, broadcast against x.
        sin: As cos.
        layout: See `tightrope.rope.reference.rotate`, as for side and transpose.
        side: Which end of the width turns.
        transpose: Rotate back.
    """
    pairs, width = cos.shape[-1], x.shape[-1]
    first, second = pair_slices(width, pairs, layout, side)
    sign = -1 if transpose else 1
    if out is not x and width > 2 * pairs:
        rest = slice(2 * pairs, None) if side == "head" else slice(0, width - 2 * pairs)
        out[..., rest] = x[..., rest]
    x1, x2, y1, y2 = x[..., first], x[..., second], out[..., first], out[..., second]
    working = torch.promote_types(x.dtype, torch.float32)
    if out is not x and x.dtype == working:
        torch.mul(x1, cos, out=y1).addcmul_(x2, sin, value=-sign)
        torch.mul(x2, cos, out=y2).addcmul_(x1, sin, value=sign)
        return
    # Through temporaries: each result is rounded once, and in place nothing is read after it was written.
    x1, x2 = x1.to(working), x2.to(working)
    rotated1 = (x1 * cos).addcmul_(x2, sin, value=-sign)
    rotated2 = (x2 * cos).addcmul_(x1, sin, value=sign)
    y1.copy_(rotated1)
    y2.copy_(rotated2)


def rotated(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, layout: Layout, side: Side, transpose: bool
) -> torch.Tensor:
    """Return x rotated, without writing into anything: what compilers and function transforms want; see `write`."""
    pairs, width = cos.shape[-1], x.shape[-1]
    first, second = pair_slices(width, pairs, layout, side)
    working = torch.promote_types(x.dtype, torch.float32)
    x1, x2 = x[..., first].to(working), x[..., second].to(working)
    s = -sin if transpose else sin
    y1, y2 = (x1 * cos - x2 * s).to(x.dtype), (x1 * s + x2 * cos).to(x.dtype)
    rotated = torch.cat((y1, y2), -1) if layout == "half" else torch.stack((y1, y2), -1).flatten(-2)
    if width == 2 * pairs:
        return rotated
    return torch.cat((rotated, x[..., 2 * pairs :]) if side == "head" else (x[..., : width - 2 * pairs], rotated), -1)


def beside(part: torch.Tensor, order: Order) -> torch.Tensor:
    """Return cos or sin (batch, seq, pairs) so that it broadcasts against q and k."""
    if order == "thd":
        return part.reshape(-1, 1, part.shape[-1])
    return part.unsqueeze(1 if order == "bhsd" else 2)
