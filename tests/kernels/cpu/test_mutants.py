"""The tests of the C kernel find mistakes: each is put into its text, compiled, and must give other bits."""

import pytest

from proofs import tools
from proofs.cpu import native_build
from proofs.cpu.native_mutants import MISTAKES, SHARED

pytestmark = [pytest.mark.backend("torch"), native_build.needs_compiler]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Whether something came out wrong, by the name of the mistake; "" is the text as it is."""
    if SHARED not in getattr(native_build.load_installed(), "variants", ()):
        pytest.skip(f"no {SHARED} kernel runs here")
    folder = tmp_path_factory.mktemp("mutants")
    lines, error = tools.run_python("proofs.cpu.native_mutants", folder, folder=folder)
    assert not error
    return dict(lines)


def test_the_text_as_it_is_passes(outcomes):
    assert outcomes[""] is False


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_would_be_seen(outcomes, mistake):
    if str(mistake) not in outcomes:
        pytest.skip(f"no {mistake.variant} kernel runs here")
    assert outcomes[str(mistake)]
