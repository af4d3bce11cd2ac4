"""Metal as MLX and PyTorch offer it, without Metal: what would be compiled for the GPU is compiled and run as C++.

MLX itself writes the text of its kernels; it is caught while MLX exports a function that calls one.
"""

import ctypes
import os
import re
import tempfile
from pathlib import Path

from proofs import msl


class Shaders:
    """Stands in for `torch.mps.compile_shader`; `change` is made to every text."""

    def __init__(self, compiler, change):
        self.compiler, self.change = compiler, change

    def __call__(self, text):
        return _Library(self.change(text), self.compiler)


class _Library:
    def __init__(self, text, compiler):
        self._text, self._compiler = text, compiler

    def __getattr__(self, name):
        if f"kernel void {name}(" not in self._text:
            raise AttributeError(name)
        return self._run

    def _run(self, *arguments, threads, group_size):
        """Bind arguments to buffers in order: tensors by their address, lists of integers as int64."""
        checked(self._text)
        run = msl.compile_kernel(self._text, self._compiler)
        names = re.findall(r"(\w+) \[\[buffer\(", self._text)
        lists = {
            name: (ctypes.c_int64 * len(a))(*a) for name, a in zip(names, arguments, strict=True) if isinstance(a, list)
        }
        addresses = {name: ctypes.addressof(array) for name, array in lists.items()}
        addresses |= {name: a.data_ptr() for name, a in zip(names, arguments, strict=True) if name not in lists}
        run(addresses, (*threads, 1))


class Kernels:
    """Stands in for `mx.fast.metal_kernel`; `change` is made to every text that MLX writes."""

    def __init__(self, compiler, change):
        import mlx.core as mx

        self.compiler, self.change, self.original = compiler, change, mx.fast.metal_kernel

    def __call__(self, **definition):
        kernel = self.original(**definition)
        names = [*definition["input_names"], *definition["output_names"]]
        return lambda **call: self._run(kernel, names, call)

    def _run(self, kernel, names, call):
        import mlx.core as mx
        import torch

        text = self.change(written_by_mlx(kernel, call))
        checked(text)
        outputs = [
            mx.zeros(shape, dtype) for shape, dtype in zip(call["output_shapes"], call["output_dtypes"], strict=True)
        ]
        mx.eval(call["inputs"], outputs)
        tensors = dict(zip(names, map(torch.from_dlpack, [*call["inputs"], *outputs]), strict=True))
        addresses = {name: tensor.data_ptr() for name, tensor in tensors.items()}
        arrays = {f"{name}_shape": (ctypes.c_int32 * t.ndim)(*t.shape) for name, t in tensors.items()}
        arrays |= {f"{name}_strides": (ctypes.c_int64 * t.ndim)(*t.stride()) for name, t in tensors.items()}
        addresses |= {name: ctypes.addressof(array) for name, array in arrays.items()}
        msl.compile_kernel(text, self.compiler)(addresses, call["grid"])
        return outputs


def written_by_mlx(kernel, call):
    """Return the text that MLX writes around a kernel's body for such inputs."""
    import mlx.core as mx

    def traced(*inputs):
        return kernel(**call | {"inputs": list(inputs), "verbose": True})

    like = [mx.zeros(x.shape, x.dtype) for x in call["inputs"]]
    with tempfile.TemporaryDirectory() as folder:
        printed = _printed(lambda: mx.export_function(str(Path(folder) / "kernel.mlxfn"), traced, *like))
    return printed.split("```\n", 1)[1].rsplit("\n```", 1)[0]


def _printed(action):
    """Return what an action prints, from C++ too."""
    saved = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            action()
        finally:
            os.dup2(saved, 1)
            os.close(saved)
        file.seek(0)
        return file.read().decode()


def checked(text):
    """Refuse a text that is C++ but not Metal."""
    if found := msl.complaints(text):
        raise msl.RejectedError("; ".join(found))
