"""The Triton kernel gives the bits of the definition: its source, interpreted, and the PTX that Triton makes of it.

Before a release: TIGHTROPE_TARGETS=all pytest tests/kernels/test_triton.py tests/kernels/test_static.py
"""

from functools import cache
from importlib.metadata import version

import pytest
from packaging.version import Version

from proofs import tools
from proofs.cases import CASES
from proofs.mutants import TRITON

pytestmark = [pytest.mark.backend("torch"), tools.module("triton")]


@pytest.fixture(scope="module")
def triton_runs(tmp_path_factory):
    """Run `proofs.gpu.run_triton` once for each set of arguments; return its lines as a dictionary."""

    @cache
    def run(*arguments):
        folder = tmp_path_factory.mktemp("triton")
        if arguments[0] == "mutants":
            arguments += (folder,)
        lines, error = tools.run_python("proofs.gpu.run_triton", *arguments, folder=folder)
        return dict(lines) | ({"error": error} if error else {})

    return run


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("host", ["interpreter", *tools.targets()])
def test_triton_gives_the_bits_of_the_definition(triton_runs, host, name):
    if host == "interpreter" and Version(version("triton")) < Version("3.9"):
        pytest.skip("the interpreter of Triton before 3.9 rounds an fma twice")
    outcomes = triton_runs("cases", host)
    assert name in outcomes, f"the run ended before this case: {outcomes.get('error')}"
    assert outcomes[name] is None


@pytest.mark.parametrize("mutant", TRITON, ids=str)
def test_a_mistake_in_the_triton_kernel_would_be_seen(triton_runs, mutant):
    outcomes = triton_runs("mutants", "sm_90")
    assert mutant.name in outcomes, f"the run ended before this mutant: {outcomes.get('error')}"
    assert outcomes[mutant.name] in {*CASES, "far"}
