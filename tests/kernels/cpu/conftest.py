"""The C kernel of each instruction set that runs here."""

import pytest

from tightrope.backends.kernels import load_cpu

EXTENSION = load_cpu()

VARIANTS = EXTENSION.variants if EXTENSION else ()


@pytest.fixture(params=[pytest.param(name, id=name) for name in VARIANTS] or [None])
def kernel(request):
    """The kernel of each instruction set in turn."""
    native = pytest.importorskip("tightrope.backends.torch.kernels.cpu")
    if request.param is None:
        pytest.skip("the C kernel was not built, or none of its instruction sets runs here")
    return native.find_kernel(request.param)
