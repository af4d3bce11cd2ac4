"""The rotation as a Metal shader for PyTorch on Apple GPUs: q and k in one launch, in place or into other tensors."""

from functools import lru_cache
from typing import Any, Final

import torch

from tightrope.backends.kernels.angles import Phase, Table
from tightrope.backends.kernels.body import METAL_PRELUDE, Kernel, Tensor, angle_tensors, functions
from tightrope.rope.config import Layout, Side

_METAL_TYPES: Final = {
    torch.float32: "float",
    torch.bfloat16: "bfloat",
    torch.float16: "half",
    torch.int32: "int",
    torch.int64: "long",
}
_THREADS_PER_GROUP: Final = 256


def rotate(
    q: torch.Tensor, k: torch.Tensor | None, q_out: torch.Tensor, k_out: torch.Tensor | None, angles: Phase | Table,
    *, layout: Layout, side: Side, transpose: bool,
) -> None:  # fmt: skip
    """Write q and k, rotated, into q_out and k_out; see `tightrope.backends.torch.triton.rotate`."""
    batch, seq, *_ = q.shape
    if batch * seq == 0:
        return
    given = angle_tensors(angles)
    kernel = Kernel(
        dtype=_METAL_TYPES[q.dtype],
        q=_described(q, q_out),
        k=None if k is None else _described(k, k_out),
        pairs=angles.pairs,
        angles=tuple(given),
        layout=layout,
        side=side,
        transpose=transpose,
    )
    tensors = {"q": q, "q_out": q_out} | ({} if k is None else {"k": k, "k_out": k_out}) | given
    types = tuple(_METAL_TYPES[tensor.dtype] for tensor in tensors.values())
    strides = [list(tensor.stride()) for tensor in tensors.values()]
    threads = (batch * seq * angles.pairs, kernel.blocks)
    _shader(kernel, tuple(tensors), types)(
        *tensors.values(), list(q.shape), *strides, threads=threads, group_size=(_THREADS_PER_GROUP, 1)
    )


def _described(x: torch.Tensor, out: torch.Tensor | None) -> Tensor:
    return Tensor(heads=x.shape[2], width=x.shape[3], copied=out is not x)


@lru_cache(maxsize=256)
def _shader(kernel: Kernel, names: tuple[str, ...], types: tuple[str, ...]) -> Any:
    return torch.mps.compile_shader(text(kernel, names, types)).rotate_qk


def text(kernel: Kernel, names: tuple[str, ...], types: tuple[str, ...]) -> str:
    """Return the shader: the shared functions and body, with a signature that names every argument.

    Args:
        kernel: The rotation.
        names: Its tensors, in the order of the buffers: outputs end in `_out`.
        types: The Metal type of each.
    """
    pointers = [_pointer(name, type_) for name, type_ in zip(names, types, strict=True)]
    lists = ["constant long* q_shape", *(f"constant long* {name}_strides" for name in names)]
    buffers = [f"  {declaration} [[buffer({i})]],\n" for i, declaration in enumerate([*pointers, *lists])]
    return (
        f"#include <metal_stdlib>\nusing namespace metal;\n{METAL_PRELUDE}{functions()}\n"
        f"kernel void rotate_qk(\n{''.join(buffers)}  uint3 thread_position_in_grid [[thread_position_in_grid]]) {{\n"
        f"{kernel.body()}}}\n"
    )


def _pointer(name: str, type_: str) -> str:
    return f"{'' if name.endswith('_out') else 'const '}device {type_}* {name}"
