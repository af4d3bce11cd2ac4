"""The rotation by MLX operations, for the CPU and for what no kernel computes: one compiled pass over each array.

y = x · cos + x̃ · s̃,    x̃: x, the members of each pair exchanged,    s̃: −sin beside first members, sin beside second
"""

from collections.abc import Sequence
from typing import Final

import mlx.core as mx

from tightrope.backends.mlx.export import compiled, is_exporting
from tightrope.backends.mlx.kernels.launch import Launch
from tightrope.backends.shared.angles import rotated_start
from tightrope.rope.config.terms import Layout

# Unsigned integers twice as wide as an element: two members of a pair that lie side by side.
_BOTH_MEMBERS: Final = {2: mx.uint32, 4: mx.uint64}


def launch(call: Launch, arrays: Sequence[mx.array]) -> list[mx.array]:
    """Return q, and k where there is one, rotated: computed in float32 (float64 as it is) and rounded once.

    Args:
        call: How; its angles are cos and sin.
        arrays: See `tightrope.backends.mlx.kernels.launch.launch`; any float dtypes.
    """
    cos, sin = by_member(call, *arrays[call.heads :])
    return [rotated(x, cos, sin, call) for x in arrays[: call.heads]]


def working(x: mx.array) -> mx.Dtype:
    """Return the dtype that x is rotated in."""
    return mx.float64 if x.dtype == mx.float64 else mx.float32


def by_member(call: Launch, cos: mx.array, sin: mx.array) -> tuple[mx.array, mx.array]:
    """Return cos and s̃, shaped to broadcast against what `_members` returns: the same for every layer of a step."""
    cos, sin = mx.expand_dims(cos, 3 - call.seq_axis), mx.expand_dims(sin, 3 - call.seq_axis)
    signed = [sin, -sin] if call.transpose else [-sin, sin]
    if call.layout == "half":
        return mx.expand_dims(cos, -2), mx.stack(signed, axis=-2)
    return mx.repeat(cos, 2, axis=-1), mx.flatten(mx.stack(signed, axis=-1), -2)


def rotated(x: mx.array, cos: mx.array, sin: mx.array, call: Launch, *, views: bool = True) -> mx.array:
    """Return x rotated; channels that do not rotate are joined to those that do.

    Args:
        x: (batch, seq, heads, width) or (batch, heads, seq, width), of any float dtype.
        cos: What `by_member` returned first.
        sin: What it returned second.
        call: How.
        views: MLX need not differentiate the result itself, nor write it to a file.
    """
    width, rotated_width = x.shape[-1], cos.shape[-1] * (2 if call.layout == "half" else 1)
    start = rotated_start(width, rotated_width // 2, call.side)
    part = x if width == rotated_width else x[..., start : start + rotated_width]
    result = _rotated(*_members(part, call.layout, views=views), cos, sin).reshape(part.shape)
    if width == rotated_width:
        return result
    rest = x[..., rotated_width:] if start == 0 else x[..., :start]
    return mx.concatenate([result, rest] if start == 0 else [rest, result], axis=-1)


def _members(x: mx.array, layout: Layout, *, views: bool) -> tuple[mx.array, mx.array]:
    """Return x and x̃, in a shape that suits both."""
    if layout == "half":
        halves = mx.unflatten(x, -1, (2, -1))
        return halves, halves[..., ::-1, :]
    both = _BOTH_MEMBERS.get(x.dtype.size)
    # Views cannot be differentiated, and what is exported may be.
    if both is None or not views or is_exporting():
        return x, mx.flatten(mx.unflatten(x, -1, (-1, 2))[..., ::-1], -2)
    return x, mx.view(_exchanged(mx.view(x, both)), x.dtype)


@compiled
def _exchanged(pairs: mx.array) -> mx.array:
    half = 4 * pairs.dtype.size
    return (pairs << half) | (pairs >> half)


# One kernel instead of six; the shapes stay open, so that a new length compiles nothing.
@compiled
def _rotated(x: mx.array, exchanged: mx.array, cos: mx.array, sin: mx.array) -> mx.array:
    wide = working(x)
    return (x.astype(wide) * cos + exchanged.astype(wide) * sin).astype(x.dtype)
