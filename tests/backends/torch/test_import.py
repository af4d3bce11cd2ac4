"""Importing the backend imports PyTorch and nothing heavy beside it."""

import pytest

from harness.processes import in_new_process

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.backend("torch")


@pytest.mark.parametrize("name", ["torch._dynamo", "sympy", "triton", "transformers"])
def test_the_compiler_and_its_packages_are_left_to_who_compiles(name):
    assert in_new_process(f"import sys, tightrope.backends.torch; print({name!r} in sys.modules)") == "False"


def test_a_constant_in_graphs_is_marked_as_torch_marks_it():
    from tightrope.backends.torch.constants import constant_in_graphs

    ours, theirs = constant_in_graphs(lambda: None), torch.compiler.assume_constant_result(lambda: None)
    assert vars(ours) == vars(theirs)
