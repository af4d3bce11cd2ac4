"""DTensors: each process rotates its own shard, by the angles of the tokens that are in it.

Which tokens these are follows from the placements. Channels that are sharded, and sums that are still partial, are made
whole first: a pair lies in two shards, and what is rotated is the sum.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

import torch

from tightrope.backends.shared.angles import Phase, Table
from tightrope.backends.shared.ops import Order
from tightrope.rope.errors import RopeConfigError

_MODULE: Final = "torch.distributed.tensor"
# Where batch and seq are among the axes of q and k.
_BATCH: Final[dict[Order, int | None]] = {"bhsd": 0, "bshd": 0, "thd": None}
_SEQ: Final[dict[Order, int]] = {"bhsd": 2, "bshd": 1, "thd": 0}

Rotate = Callable[..., tuple[torch.Tensor, torch.Tensor | None]]


def is_dtensor(*values: object) -> bool:
    """Return whether one of these is a DTensor; where nobody imported them, none is."""
    module = sys.modules.get(_MODULE)
    return module is not None and any(isinstance(value, module.DTensor) for value in values)


def whole(array: torch.Tensor) -> torch.Tensor:
    """Return an array as every process needs it: a DTensor's whole, anything else as it is."""
    return array.full_tensor() if is_dtensor(array) else array  # type: ignore[attr-defined]  # is_dtensor narrows no type


def rotate_shards(
    rotate: Rotate, q: Any, k: Any, angles: Phase | Table, *, order: Order, in_place: bool, **how: Any
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return q and k, DTensors, rotated by `rotate`, which takes the local shards; placements stay where they can.

    Args:
        rotate: Rotates plain tensors; see `dispatch.rotate_pair`.
        q: A DTensor with any placements.
        k: As q; its placements may differ.
        angles: Of all tokens.
        order: What the axes of q and k are.
        in_place: Into q and k themselves.
        how: What else `rotate` takes.
    """
    if not is_dtensor(q) and not is_dtensor(k):
        raise RopeConfigError(
            "cos and sin must be tensors where q is one, got DTensors; pass cos.full_tensor() and sin's"
        )
    if not is_dtensor(q) or (k is not None and not is_dtensor(k)):
        raise RopeConfigError("q and k must both be DTensors where one is; distribute the other on the same mesh")
    if not torch.compiler.is_compiling():
        register_shardings()
    rotated: tuple[Any, ...] = tuple(
        None if x is None else _one(rotate, name, x, angles, order, in_place, how) for name, x in (("q", q), ("k", k))
    )
    return rotated[0], rotated[1]


def _one(
    rotate: Rotate, name: str, x: Any, angles: Phase | Table, order: Order, in_place: bool, how: Mapping[str, Any]
) -> Any:
    """Return one DTensor rotated."""
    from torch.distributed.tensor import DTensor, Replicate

    mesh, channels = x.device_mesh, x.ndim - 1
    placements = [Replicate() if one.is_partial() or _along(one) == channels else one for one in x.placements]
    if in_place and any(one.is_partial() for one in x.placements):
        raise RopeConfigError(f"{name} cannot be rotated in place: it holds partial sums; redistribute it first")
    settled = x if tuple(placements) == tuple(x.placements) else x.redistribute(placements=placements)
    at_once = in_place and settled is x and not (torch.is_grad_enabled() and x.requires_grad)
    local = _angles_of(angles, order, mesh, placements)
    y, _ = rotate(settled.to_local(), None, local, order=order, in_place=at_once, **how)
    if at_once:
        return x
    made = DTensor.from_local(y, mesh, placements, run_check=False, shape=x.shape, stride=settled.stride())
    return x.copy_(made.redistribute(placements=x.placements)) if in_place else made


def _angles_of(angles: Phase | Table, order: Order, mesh: Any, placements: list[Any]) -> Phase | Table:
    """Return the angles of the tokens of a shard."""
    if isinstance(angles, Table):
        axes = _axes(tuple(angles.cos.shape[:2]), order, first=0)
        return Table(cos=_shard(angles.cos, axes, mesh, placements), sin=_shard(angles.sin, axes, mesh, placements))
    axes = _axes(tuple(angles.positions.shape[1:]), order, first=1)
    rows = angles.rows
    if rows is not None:
        by_row = {at: 0 for at, own in axes.items() if own == 1 and rows.shape[0] > 1}
        rows = _shard(rows, by_row, mesh, placements)
    return replace(angles, positions=_shard(angles.positions, axes, mesh, placements), rows=rows)


def _axes(shape: tuple[int, int], order: Order, first: int) -> dict[int, int]:
    """Return which axis of x is which axis of angles (batch or 1, seq), the first of which is axis `first`."""
    batch, seq = _BATCH[order], _SEQ[order]
    if batch is None:  # packed tokens may lie along either
        return {seq: first if shape[0] > 1 else first + 1}
    return {seq: first + 1} | ({batch: first} if shape[0] > 1 else {})


def _shard(values: Any, axes: Mapping[Any, int], mesh: Any, placements: list[Any]) -> Any:
    """Return the part of angles that belongs to a shard of x: nothing is sent where each process has them all."""
    from torch.distributed.tensor import DTensor, Replicate

    wanted = [_moved(one, axes[_along(one)]) if _along(one) in axes else Replicate() for one in placements]
    if is_dtensor(values) and values.device_mesh != mesh:
        values = whole(values)
    if not is_dtensor(values):
        values = DTensor.from_local(values, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return values.redistribute(placements=wanted).to_local()


def _along(placement: Any) -> int | None:
    """Return the axis that a placement shards, None where it shards none."""
    axis: int | None = getattr(placement, "dim", None)
    return axis


def _moved(placement: Any, axis: int) -> Any:
    """Return a placement for another axis; that of FSDP with tensor parallelism also holds the order of the shards."""
    factor = getattr(placement, "split_factor", None)
    return type(placement)(axis) if factor is None else type(placement)(axis, split_factor=factor)


@cache
def register_shardings() -> None:
    """Tell DTensor how `torch.ops.tightrope.rotate` and `cos_sin` may be sharded; once, and where torch can be told."""
    try:
        from torch.distributed.tensor.experimental import register_sharding
    except ImportError:  # experimental: not in every version
        return
    register_sharding(torch.ops.tightrope.rotate.default)(_rotate_strategies)
    register_sharding(torch.ops.tightrope.cos_sin.default)(_cos_sin_strategies)


def _rotate_strategies(x: Any, cos: Any, sin: Any, layout: str, side: str, order: Order, transpose: bool) -> list[Any]:
    from torch.distributed.tensor import Partial, Replicate, Shard

    rest, shape = [None] * 4, cos.shape
    axes = _axes((shape[0], shape[1]), order, first=0)
    by_axis: list[tuple[Any, Any]] = [(Replicate(), Replicate()), (Partial(), Replicate())]
    for axis in range(len(order) - 1):
        by_axis.append((Shard(axis), Shard(axes[axis]) if axis in axes else Replicate()))
    return [([of_x], [of_x, of_cos, of_cos, *rest]) for of_x, of_cos in by_axis]


def _cos_sin_strategies(positions: Any, turns: Any, factors: Any, rows: Any, axes: Any) -> list[Any]:
    from torch.distributed.tensor import Replicate, Shard

    one = Replicate()
    by_axis: list[tuple[Any, Any, Any]] = [(one, one, one), (Shard(2), Shard(1), one)]
    if positions.shape[1] > 1:
        by_axis.append((Shard(1), Shard(0), Shard(0)))
    return [
        ([out, out], [given, one, one, None if rows is None else row, None if axes is None else one])
        for given, out, row in by_axis
    ]
