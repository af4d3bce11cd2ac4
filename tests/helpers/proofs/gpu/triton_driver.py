"""A Triton driver without a GPU: the real JIT compiles for a target, and what it compiled runs on CPU tensors."""

from typing import NamedTuple

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import CompiledKernel

from proofs import ptx

LAUNCHES = []


class Launch(NamedTuple):
    """One launch that happened: the compiled kernel, its grid, its memory afterwards, the share that was executed."""

    kernel: CompiledKernel
    grid: tuple[int, int, int]
    memory: ptx.Memory
    executed: float


def use(arch):
    """From now on kernels are compiled for sm_{arch} and run here."""
    CompiledKernel._init_handles = _init_handles
    triton.runtime.driver.set_active(_Driver(arch))


_original = CompiledKernel._init_handles


def _init_handles(self):
    """Also tell the launcher its kernel."""
    _original(self)
    (vars(self).get("_run") or vars(self)["run"]).kernel = self  # "run" before Triton 3.5


class _Utils:
    """What the JIT asks of a device before a launch; nothing is loaded."""

    def load_binary(self, name, binary, shared, device):
        return object(), object(), 0, 0, 1024

    def unload_module(self, module):
        pass

    def get_device_properties(self, device):
        return {"max_shared_mem": 1 << 16, "multiprocessor_count": 1, "warpSize": 32, "max_num_regs": 1 << 16}


class _Driver:
    utils = _Utils()

    def __init__(self, arch):
        self.target = GPUTarget("cuda", arch, 32)

    def get_current_target(self):
        return self.target

    def get_current_device(self):
        return self.target.arch  # the JIT keeps compiled kernels by device: each target is one

    def get_current_stream(self, device):
        return 0

    def get_active_torch_device(self):
        return torch.device("cpu")

    def launcher_cls(self, source, metadata):
        return _Launcher(source)


class _Launcher:
    kernel = None  # set once it is compiled

    def __init__(self, source):
        self.kinds = list(_flat(source.signature.values()))

    def __call__(self, x, y, z, stream, function, packed_metadata, metadata, enter, leave, *arguments):
        program = ptx.parse(self.kernel.asm["ptx"])
        given = [a for a, kind in zip(_flat(arguments), self.kinds, strict=True) if kind != "constexpr"]
        tensors = [a for a in given if isinstance(a, torch.Tensor)]
        memory = ptx.Memory([piece for tensor in tensors for piece in _pieces(tensor)])
        values = [a.data_ptr() if isinstance(a, torch.Tensor) else a for a in given]
        values += [0] * (len(program.parameters) - len(values))  # scratch memory, which this kernel does not use
        executed = ptx.run(program, (x, y, z), 32 * self.kernel.metadata.num_warps, values, memory)
        LAUNCHES.append(Launch(self.kernel, (x, y, z), memory, executed))


def _pieces(tensor):
    """Return the memory of a tensor: (address, bytes); where its rows lie far apart, that of each row."""
    storage = tensor.untyped_storage()
    if storage.nbytes() < 1 << 30:
        return [(storage.data_ptr(), storage.nbytes())]
    return [(row.data_ptr(), row.numel() * row.element_size()) for row in tensor]


def _flat(values):
    for value in values:
        if isinstance(value, tuple):
            yield from _flat(value)
        else:
            yield value
