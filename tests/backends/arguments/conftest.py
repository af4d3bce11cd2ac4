"""A call of each backend in turn."""

import pytest

from samples.calls import Bench


@pytest.fixture
def rotate(backend):
    return Bench(backend)
