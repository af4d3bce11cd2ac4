"""A rotation, by a kernel or by operations, as a function that MLX can differentiate, batch and compile.

Its gradient is one pass, as it is itself; MLX's own, through slices, would take several. In an export there is only the
launch: MLX 0.32 cannot write functions with a custom gradient to files.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import mlx.core as mx

from tightrope.backends.kernels.gpu.source import angle_tensors
from tightrope.backends.mlx import operations
from tightrope.backends.mlx.export import constant, is_exporting
from tightrope.backends.mlx.kernels import launch as kernel
from tightrope.backends.mlx.kernels.launch import Launch
from tightrope.backends.shared.angles import Phase, Table, rotated_start
from tightrope.backends.shared.ops import Order
from tightrope.rope.config.terms import Layout, Side
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.reference import pair_slices

Launcher = Callable[[Launch, Sequence[mx.array]], list[mx.array]]
"""`kernel.launch` or `operations.launch`."""

# The axis of each array that counts rows; the others hold for every row.
_BATCH_AXES = {"q": 0, "k": 0, "cos": 0, "sin": 0, "positions": 1, "rows": 0}


def rotate(
    launch: Launcher, q: mx.array, k: mx.array | None, angles: Phase | Table,
    *, layout: Layout, side: Side, order: Order, transpose: bool,
) -> tuple[mx.array, mx.array | None]:  # fmt: skip
    """Return q and k rotated by one launch; see `tightrope.backends.shared.ops.Ops.rotate`."""
    xs = [q] if k is None else [q, k]
    packed = 0 if angles.batch == 1 else 1  # packed tokens form one row, or one row each
    if order == "thd":
        xs = [mx.expand_dims(x, packed) for x in xs]
    given = angle_tensors(angles)
    if is_exporting():
        given = {name: constant(array) for name, array in given.items()}
    given = _spread(given, xs[0].shape[0])
    call = Launch(
        heads=len(xs), angles=tuple(given), layout=layout, side=side, transpose=transpose,
        seq_axis=2 if order == "bhsd" else 1,
    )  # fmt: skip
    arrays = [*xs, *given.values()]
    rotated = launch(call, arrays) if is_exporting() else list(_function(launch, call)(*arrays))
    if order == "thd":
        rotated = [mx.squeeze(x, packed) for x in rotated]
    return rotated[0], rotated[1] if k is not None else None


def cos_sin(phase: Phase) -> Table:
    """Return cos and sin of exact phases by one kernel: float32 (batch, seq, pairs), attention factor in."""
    given = angle_tensors(phase)
    cos, sin = _angle_function(tuple(given))(*given.values())
    return Table(cos=cos, sin=sin)


def _spread(given: dict[str, mx.array], batch: int) -> dict[str, mx.array]:
    """Let every row have its angles."""

    def wide(name: str, array: mx.array) -> mx.array:
        axis = _BATCH_AXES.get(name)
        if axis is None or array.shape[axis] == batch:
            return array
        return mx.broadcast_to(array, (*array.shape[:axis], batch, *array.shape[axis + 1 :]))

    return {name: wide(name, array) for name, array in given.items()}


@cache
def _function(launch: Launcher, call: Launch) -> Callable[..., Sequence[mx.array]]:
    """Return the launch with its derivatives and its batching."""
    function: Any = mx.custom_function(lambda *arrays: launch(call, _held(arrays)))
    function.vjp(lambda arrays, gradients, outputs: _vjp(launch, call, arrays, gradients))
    function.jvp(lambda arrays, tangents: _jvp(launch, call, arrays, tangents))
    names = ("q", "k")[: call.heads] + call.angles
    function.vmap(lambda arrays, axes: _batched(function, names, arrays, axes))
    complete: Callable[..., Sequence[mx.array]] = function
    return complete


@cache
def _angle_function(names: tuple[str, ...]) -> Callable[..., Sequence[mx.array]]:
    """Return the launch that computes angles, with its batching; positions are integers and have no gradient."""
    function: Any = mx.custom_function(lambda *arrays: kernel.launch_angles(names, _held(arrays)))
    function.vjp(lambda arrays, gradients, outputs: list(map(mx.zeros_like, arrays)))
    function.jvp(lambda arrays, tangents: [mx.zeros_like(x) for x in function(*arrays)])
    function.vmap(lambda arrays, axes: _batched(function, names, arrays, axes))
    complete: Callable[..., Sequence[mx.array]] = function
    return complete


def _held(arrays: Sequence[mx.array]) -> list[mx.array]:
    """Return the arrays as constants of what is computed from them.

    `mx.jvp` also follows tangents through the operations inside a function with a custom derivative, and fails at
    those that have none: views and kernels.
    """
    return [mx.stop_gradient(array) for array in arrays]


def _vjp(launch: Launcher, call: Launch, arrays: Sequence[mx.array], gradients: Sequence[mx.array]) -> list[mx.array]:
    """The gradient of a rotation is the transposed rotation; angles that were given have one too."""
    xs, angles = arrays[: call.heads], arrays[call.heads :]
    back = _function(launch, call._replace(transpose=not call.transpose))(*gradients, *angles)
    if call.angles != ("cos", "sin"):
        return [*back, *map(mx.zeros_like, angles)]
    # Computed only where they are asked for.
    parts = [
        _angle_gradients(call, x, gradient, angles[0].shape[-1]) for x, gradient in zip(xs, gradients, strict=True)
    ]
    return [*back, *(sum(part[1:], part[0]) for part in zip(*parts, strict=True))]


def _angle_gradients(call: Launch, x: mx.array, gradient: mx.array, pairs: int) -> tuple[mx.array, mx.array]:
    """Return the gradients of cos and sin: sums over the heads of one tensor."""
    heads = 3 - call.seq_axis
    (x1, x2), (g1, g2) = _members(call, x, pairs), _members(call, gradient, pairs)
    sign = -1 if call.transpose else 1
    return (x1 * g1 + x2 * g2).sum(axis=heads), sign * (x1 * g2 - x2 * g1).sum(axis=heads)


def _members(call: Launch, x: mx.array, pairs: int) -> tuple[mx.array, mx.array]:
    first, second = pair_slices(x.shape[-1], pairs, call.layout, call.side)
    wide = operations.working(x)
    return x[..., first].astype(wide), x[..., second].astype(wide)


def _jvp(
    launch: Launcher, call: Launch, arrays: Sequence[mx.array], tangents: Sequence[mx.array | None]
) -> list[mx.array]:
    """The rotation is linear in q and k; a tangent of given angles acts as angles do, on the rotated channels alone."""
    xs, angles = arrays[: call.heads], arrays[call.heads :]
    moved = [mx.zeros_like(x) if t is None else t for x, t in zip(xs, tangents, strict=False)]
    along = _function(launch, call)(*moved, *angles)
    angle_tangents = tangents[call.heads :]
    if call.angles != ("cos", "sin") or all(t is None for t in angle_tangents):
        return list(along)
    filled = [mx.zeros_like(a) if t is None else t for a, t in zip(angles, angle_tangents, strict=True)]
    return [a + b for a, b in zip(along, _rotated_channels(launch, call, xs, filled), strict=True)]


def _rotated_channels(
    launch: Launcher, call: Launch, xs: Sequence[mx.array], angles: Sequence[mx.array]
) -> list[mx.array]:
    """Return xs rotated by these angles, 0 in the channels that do not rotate."""
    pairs = angles[0].shape[-1]

    def only_rotated(x: mx.array) -> mx.array:
        channel = mx.arange(x.shape[-1]) - rotated_start(x.shape[-1], pairs, call.side)
        return mx.where((channel >= 0) & (channel < 2 * pairs), x, mx.zeros_like(x))

    return [only_rotated(x) for x in _function(launch, call)(*xs, *angles)]


def _batched(
    function: Callable[..., Sequence[mx.array]], names: Sequence[str],
    arrays: Sequence[mx.array], axes: Sequence[int | None],
) -> tuple[list[mx.array], list[int]]:  # fmt: skip
    """Batch a launch: the mapped axis becomes part of the batch."""
    size = next(array.shape[axis] for array, axis in zip(arrays, axes, strict=True) if axis is not None)
    outs = function(*(_merged(*named, size) for named in zip(names, arrays, axes, strict=True)))
    return [out.reshape(size, -1, *out.shape[1:]) for out in outs], [0] * len(outs)


def _merged(name: str, array: mx.array, axis: int | None, size: int) -> mx.array:
    """Merge a mapped axis into the batch; an array that is not mapped is the same for all."""
    batch = _BATCH_AXES.get(name)
    if batch is None:
        if axis is not None:
            raise RopeConfigError(f"{name} cannot be mapped over: map over positions, or over cos and sin")
        return array
    if axis is None:
        wide = mx.expand_dims(array, batch)
        array = mx.broadcast_to(wide, (*array.shape[:batch], size, *array.shape[batch:]))
    else:
        array = mx.moveaxis(array, axis, batch)
    return array.reshape(*array.shape[:batch], -1, *array.shape[batch + 2 :])
