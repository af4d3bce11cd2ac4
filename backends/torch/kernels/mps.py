"""The rotation as a Metal shader for PyTorch on Apple GPUs: q and k in one launch, in place or into other tensors."""

from functools import lru_cache
from typing import Any, Final

import torch

from tightrope.backends.kernels.gpu.source import (
    METAL_PRELUDE,
    AngleKernel,
    HeadShape,
    KernelText,
    angle_tensors,
    functions,
)
from tightrope.backends.shared.angles import Phase, Table
from tightrope.rope.config.terms import Layout, Side

_TYPES: Final = {
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
    """Write q and k, rotated, into q_out and k_out; see `tightrope.backends.torch.kernels.triton_launch.rotate`."""
    given = angle_tensors(angles)
    kernel = KernelText(
        dtype=_TYPES[q.dtype], q=_described(q, q_out), k=None if k is None else _described(k, k_out),
        pairs=angles.pairs, angles=tuple(given), layout=layout, side=side, transpose=transpose,
    )  # fmt: skip
    tensors = {"q": q, "q_out": q_out} | ({} if k is None else {"k": k, "k_out": k_out})
    _launch(kernel, tensors | given, (q.shape[0] * q.shape[1] * angles.pairs, kernel.blocks))


def cos_sin(phase: Phase, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Write cos and sin of exact phases; see `tightrope.backends.torch.kernels.triton_launch.cos_sin`."""
    given = angle_tensors(phase)
    kernel = AngleKernel(pairs=phase.pairs, angles=tuple(given))
    _launch(kernel, {"cos_out": cos, "sin_out": sin} | given, (cos.numel(), 1))


def _described(x: torch.Tensor, out: torch.Tensor | None) -> HeadShape:
    return HeadShape(heads=x.shape[2], width=x.shape[3], copied=out is not x)


def _launch(kernel: KernelText | AngleKernel, tensors: dict[str, Any], threads: tuple[int, int]) -> None:
    if 0 in threads:  # no tokens or no heads: nothing to write
        return
    shader, forms = _shader(kernel, tuple(tensors), tuple(_TYPES[tensor.dtype] for tensor in tensors.values()))
    lists = [list(tensors[name].shape if form == "shape" else tensors[name].stride()) for name, form in forms]
    shader(*tensors.values(), *lists, threads=threads, group_size=(_THREADS_PER_GROUP, 1))


@lru_cache(maxsize=256)
def _shader(
    kernel: KernelText | AngleKernel, names: tuple[str, ...], types: tuple[str, ...]
) -> tuple[Any, list[tuple[str, str]]]:
    """Return the shader, and which shapes and strides it takes after its tensors: those that its body names."""
    body = kernel.body()
    forms = [(name, form) for name in names for form in ("shape", "strides") if f"{name}_{form}" in body]
    return torch.mps.compile_shader(_text(body, names, types, forms)).tightrope, forms


def _text(body: str, names: tuple[str, ...], types: tuple[str, ...], forms: list[tuple[str, str]]) -> str:
    """Return the shared functions and a body, with a signature of what `_launch` passes, in that order."""
    pointers = [_pointer(name, type_) for name, type_ in zip(names, types, strict=True)]
    lists = [f"constant long* {name}_{form}" for name, form in forms]
    buffers = [f"  {declaration} [[buffer({i})]],\n" for i, declaration in enumerate([*pointers, *lists])]
    return (
        f"#include <metal_stdlib>\nusing namespace metal;\n{METAL_PRELUDE}{functions()}\n"
        f"kernel void tightrope(\n{''.join(buffers)}  uint3 thread_position_in_grid [[thread_position_in_grid]]) {{\n"
        f"{body}}}\n"
    )


def _pointer(name: str, type_: str) -> str:
    return f"{'' if name.endswith('_out') else 'const '}device {type_}* {name}"
