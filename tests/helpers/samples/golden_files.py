"""Golden files for tests: small configurations, one backend to write them, and ways to spoil them."""

import functools

import pytest

import tightrope
from tightrope.verify import golden
from tightrope.verify.golden import file
from tightrope.verify.parity.subjects import OnDevice

LONGROPE = {
    "rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0, 3.0, 4.0, 5.0],
    "original_max_position_embeddings": 4096,
}  # fmt: skip
CONFIGURATIONS = {
    "plain": {"model_type": "llama", "rope_theta": 5e5},
    "longrope": {"model_type": "phi3", "rope_scaling": LONGROPE},
    "dynamic": {"model_type": "llama", "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    "two ropes": {"model_type": "gemma3_text", "layer_types": ["sliding_attention", "full_attention"]},
    "several axes": {"model_type": "qwen2_vl", "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]}},
}


def model(name="plain"):
    shape = {"hidden_size": 16, "num_attention_heads": 2, "head_dim": 8, "num_hidden_layers": 2}
    return tightrope.read({**shape, "max_position_embeddings": 16384, **CONFIGURATIONS[name]})


@functools.cache
def one_backend():
    """The first backend there is, on the CPU."""
    for name in ("torch", "mlx"):
        try:
            return OnDevice(tightrope.load_backend(name), "cpu")
        except tightrope.BackendUnavailable:
            continue
    pytest.skip("no backend is installed")


def recorded(folder):
    """Write a golden file of the plain configuration into a folder; return its path."""
    path = folder / "own.safetensors"
    golden.write(path, model(), one_backend(), "a model")
    return path


def rewritten(path, change):
    """Write the file again, digest and all, with arrays that `change` changed."""
    story, arrays = file.load(path)
    arrays = dict(arrays)
    change(arrays)
    file.write(path, story, arrays)
