"""The examples run as they stand."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
# Two matrix products of 256 terms and a softmax lie between a rounding of the rotation and the result: 256 · 2⁻²⁴ · 4.
ATTENTION = 6e-5


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.backend(name)) for name in ("torch", "mlx")])
def test_attention_layer_decodes_as_it_prefills(name):
    assert load(f"attention_{name}").main() < ATTENTION


@pytest.mark.backend("torch")
def test_context_extension_prints_each_scaling():
    command = [sys.executable, str(EXAMPLES / "context_extension.py"), "--seconds", "3"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    rows = [line.split()[0] for line in ran.stdout.splitlines()[3:]]
    assert rows == list(load("context_extension").SCALINGS)
