"""The tests of the C kernel find mistakes: each is put into its text, compiled, and must give other bits."""

import pytest

from kernels import native_build, tools
from kernels.native_mutants import LANES, MUTANTS

pytestmark = [pytest.mark.backend("torch"), native_build.needs_compiler]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Whether something came out wrong, by the name of the mistake; "" is the text as it is."""
    if LANES not in getattr(native_build.load_installed(), "variants", ()):
        pytest.skip(f"no {LANES} kernel runs here")
    folder = tmp_path_factory.mktemp("mutants")
    lines, error = tools.run_python("kernels.native_mutants", folder, folder=folder)
    assert not error
    return dict(lines)


def test_the_text_as_it_is_passes(outcomes):
    assert outcomes[""] is False


@pytest.mark.parametrize("name", [mutant.name for _, mutant in MUTANTS])
def test_a_mistake_would_be_seen(outcomes, name):
    assert outcomes[name]
