"""A reader of GGUF files that a test makes of keys and tensors."""

import pytest

import tightrope
from samples.gguf_files import SHAPE, write


@pytest.fixture
def read(tmp_path):
    def make(architecture="llama", tensors=None, **keys):
        given = {**SHAPE, **{key.replace("__", "."): value for key, value in keys.items()}}
        path = write(tmp_path / "model.gguf", architecture, {k: v for k, v in given.items() if v is not None}, tensors)
        return tightrope.read(path)

    return make
