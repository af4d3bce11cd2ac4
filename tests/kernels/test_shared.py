"""The kernel text that Metal and CUDA share gives the bits of the definition, wrapped by each host that compiles it.

The Metal texts are the ones that PyTorch would be given and that MLX itself writes, checked and run as C++; the CUDA
text is compiled to PTX, and that is run.
"""

import shutil
from functools import cache

import pytest

from proofs import msl, tools
from proofs.cases import CASES
from proofs.gpu.run_shared import CUDA_CASES
from proofs.mutants import shared

CXX = next(iter(msl.COMPILERS), None)
NVCC = shutil.which("nvcc")
COMPILERS = {"mps": CXX, "mlx": CXX, "cuda": NVCC}

mps = [pytest.mark.backend("torch"), pytest.mark.skipif(CXX is None, reason=msl.NO_COMPILER)]
# MLX's arrays reach the stand-ins through torch.
mlx = [pytest.mark.backend("torch", "mlx"), pytest.mark.skipif(CXX is None, reason=msl.NO_COMPILER)]
cuda = [pytest.mark.backend("torch", "mlx"), pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")]


@pytest.fixture(scope="module")
def shared_runs(tmp_path_factory):
    """Run `proofs.gpu.run_shared` once for each task and host; return its lines as a dictionary."""

    @cache
    def run(task, host):
        folder = tmp_path_factory.mktemp("shared")
        lines, error = tools.run_python("proofs.gpu.run_shared", task, host, COMPILERS[host], folder=folder)
        return dict(lines) | ({"error": error} if error else {})

    return run


HOST_CASES = [
    pytest.param(host, name, marks=marks)
    for host, marks, names in (("mps", mps, CASES), ("mlx", mlx, CASES), ("cuda", cuda, CUDA_CASES))
    for name in names
]


@pytest.mark.parametrize(("host", "name"), HOST_CASES)
def test_the_shared_text_gives_the_bits_of_the_definition(shared_runs, host, name):
    outcomes = shared_runs("cases", host)
    assert name in outcomes, f"the run ended before this case: {outcomes.get('error')}"
    assert outcomes[name] is None


HOST_MUTANTS = [
    pytest.param(host, mutant, marks=marks, id=f"{host}-{mutant}")
    for host, marks in (("mps", mps), ("mlx", mlx), ("cuda", cuda))
    for mutant in shared(host, COMPILERS[host] or "none")
]


@pytest.mark.parametrize(("host", "mutant"), HOST_MUTANTS)
def test_a_mistake_in_the_shared_text_would_be_seen(shared_runs, host, mutant):
    outcomes = shared_runs("mutants", host)
    assert mutant.name in outcomes, f"the run ended before this mutant: {outcomes.get('error')}"
    assert outcomes[mutant.name] is not None
