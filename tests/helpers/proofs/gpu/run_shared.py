"""Run cases through the shared kernel text, in a process of their own: one JSON list per line.

usage: python -m proofs.gpu.run_shared cases mps|mlx|cuda COMPILER      [case, what is wrong or null]
       python -m proofs.gpu.run_shared mutants mps|mlx|cuda COMPILER    [mutant, the first case that goes wrong or null]

A process of their own, because a wrong kernel writes where it must not. HOST is who launches: PyTorch on MPS or MLX on
Metal, by a C++ compiler, or MLX on CUDA, by nvcc.
"""

import os
import sys
from functools import partial
from types import SimpleNamespace

from proofs.cases import CASES
from proofs.gpu.run_triton import outcome, say, what_is_wrong
from proofs.mutants import shared

# nvcc takes seconds for each text, so only so many.
CUDA_CASES = [*list(CASES)[:8], *list(CASES)[11:31:5], list(CASES)[-1]]


def main(task, host, compiler):
    globals()[f"run_{task}"](host, compiler)


def run_cases(host, compiler):
    call, kernel = prepared(host, compiler, lambda text: text)
    for name in CUDA_CASES if host == "cuda" else CASES:
        say(name, outcome(call, name, kernel))


def far_problem(rotate):
    from proofs import far

    return far.problem(rotate)


def run_mutants(host, compiler):
    prepared(host, compiler, None)  # imports what takes long, once for all
    for mutant in shared(host, compiler):
        pid = os.fork()
        if pid == 0:
            call, kernel = prepared(host, compiler, mutant.replace)
            found = next((name for name in CASES if outcome(call, name, kernel)), None)
            say(mutant.name, found or ("far" if host == "mps" and what_is_wrong(far_problem, kernel.rotate) else None))
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            say(mutant.name, "the process died")


def prepared(host, compiler, change):
    """Put a stand-in for the device's language in its place; return (kind of call, launch functions)."""
    if host == "mps":
        import torch

        from proofs.gpu.metal_hosts import Shaders
        from proofs.tensors import Call
        from tightrope.backends.torch.kernels import mps

        torch.mps.compile_shader = Shaders(compiler, change)
        return Call, mps
    import mlx.core as mx

    from proofs.arrays import Call
    from tightrope.backends.mlx import derivatives as fused
    from tightrope.backends.mlx.kernels import launch as kernel

    if host == "cuda":
        from proofs.gpu.cuda_host import Kernels

        mx.cuda.is_available = lambda: True
        mx.fast.cuda_kernel = Kernels(compiler, change)
    else:
        from proofs.gpu.metal_hosts import Kernels

        mx.fast.metal_kernel = Kernels(compiler, change)
    return Call, SimpleNamespace(rotate=partial(fused.rotate, kernel.launch), cos_sin=fused.cos_sin)


if __name__ == "__main__":
    main(*sys.argv[1:])
