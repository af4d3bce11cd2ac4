"""CUDA as MLX offers it, without CUDA: the text is wrapped as MLX wraps it, compiled by nvcc, and its PTX is run."""

import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import mlx.core as mx
import torch

from proofs import ptx

# What MLX's own header gives to a kernel, as far as a wrapped text can see it: arrays of ten, by value.
_HEADER = """
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cstdint>
template <typename T> struct Ten { T at[10]; __device__ const T& operator[](int i) const { return at[i]; } };
namespace mlx::core::cu { using Shape = Ten<int32_t>; using Strides = Ten<int64_t>; }
"""
_TYPES = {
    mx.float32: "float",
    mx.bfloat16: "__nv_bfloat16",
    mx.float16: "__half",
    mx.int32: "int32_t",
    mx.int64: "int64_t",
}


class Kernels:
    """Stands in for `mx.fast.cuda_kernel`; `change` is made to every text."""

    def __init__(self, nvcc, change, arch="90a"):
        self.nvcc, self.change, self.arch = nvcc, change, arch

    def __call__(self, **definition):
        return lambda **call: self._run(definition, **call)

    def _run(self, definition, *, inputs, output_shapes, output_dtypes, grid, threadgroup):
        outputs = [mx.zeros(shape, dtype) for shape, dtype in zip(output_shapes, output_dtypes, strict=True)]
        mx.eval(inputs, outputs)
        text = self.change(_text(definition, [x.dtype for x in inputs], output_dtypes))
        tensors = list(map(torch.from_dlpack, [*inputs, *outputs]))
        memory = ptx.Memory([(t.untyped_storage().data_ptr(), t.untyped_storage().nbytes()) for t in tensors])
        arguments = []
        for tensor, (_, extras) in zip(tensors, _parameters(definition), strict=True):
            packed = {"shape": _ten("i", tensor.shape), "strides": _ten("q", tensor.stride())}
            arguments += [tensor.data_ptr(), *(packed[extra] for extra in extras)]
        blocks = tuple(-(-size // per_block) for size, per_block in zip(grid, threadgroup, strict=True))
        ptx.run(ptx.parse(_compiled(self.nvcc, text, self.arch)), blocks, threadgroup[0], arguments, memory)
        return outputs


def _parameters(definition):
    """Return (name, what else is passed) of each array: shape and strides where the text names them."""
    names = [(name, _named(name, definition["source"])) for name in definition["input_names"]]
    return [*names, *((name, ()) for name in definition["output_names"])]


def _named(name, source):
    return tuple(extra for extra in ("shape", "strides") if f"{name}_{extra}" in source)


def _text(definition, inputs, outputs):
    types = [*(f"const {_TYPES[dtype]}*" for dtype in inputs), *(f"{_TYPES[dtype]}*" for dtype in outputs)]
    arguments = []
    for kind, (name, extras) in zip(types, _parameters(definition), strict=True):
        arguments += [f"{kind} {name}", *(f"const __grid_constant__ {e.title()} {name}_{e}" for e in extras)]
    return (
        f"{_HEADER}{definition['header']}namespace mlx::core::cu {{\n"
        f"__global__ void {definition['name']}({', '.join(arguments)}) {{\n{definition['source']}\n}}\n}}\n"
    )


@cache
def _compiled(nvcc, text, arch):
    with tempfile.TemporaryDirectory(prefix="kernels-") as folder:
        source, target = Path(folder) / "kernel.cu", Path(folder) / "kernel.ptx"
        source.write_text(text)
        command = [
            nvcc,
            "-std=c++17",
            f"-arch=compute_{arch}",
            "-Werror",
            "all-warnings",
            "--ptx",
            source,
            "-o",
            target,
        ]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(ran.stdout + ran.stderr)
        return target.read_text()


def _ten(code, values):
    return struct.pack(f"10{code}", *values, *[0] * (10 - len(values)))
