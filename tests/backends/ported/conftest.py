"""The names for ported code on each backend in turn, and its arrays."""

from importlib import import_module

import pytest


@pytest.fixture
def names(backend):
    return import_module(f"{backend.__name__}.rope_utils")


@pytest.fixture
def place(backend):
    """From numpy to the framework."""
    return lambda x: backend.asarray(x, x.dtype.name, "cpu")
