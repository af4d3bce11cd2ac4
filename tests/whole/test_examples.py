"""The examples run as they stand."""

import subprocess
import sys

import pytest

from paths import ROOT
from samples.example_files import EXAMPLES, load

TESTS = "\n".join(path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py")))
# Two matrix products of 256 terms and a softmax lie between a rounding of the rotation and the result: 256 · 2⁻²⁴ · 4.
ATTENTION = 6e-5


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_every_example_is_loaded_by_a_test(name):
    family = name.removesuffix("_torch").removesuffix("_mlx")
    assert f'load("{name}")' in TESTS or f'load(f"{family}_{{name}}")' in TESTS


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.backend(name)) for name in ("torch", "mlx")])
def test_attention_layer_decodes_as_it_prefills(name):
    assert load(f"attention_{name}").main() < ATTENTION


@pytest.fixture(scope="module")
def table():
    """What context_extension.py prints after a glimpse of training: scaling → perplexities."""
    command = [sys.executable, str(EXAMPLES / "context_extension.py"), "--seconds", "3"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    rows = [line.split() for line in ran.stdout.splitlines()[3:]]
    return {name: [float(cell) for cell in cells] for name, *cells in rows}


@pytest.mark.backend("torch")
def test_context_extension_prints_each_scaling(table):
    assert list(table) == list(load("context_extension").SCALINGS)


@pytest.mark.backend("torch")
def test_context_extension_measures_what_it_trained(table):
    """Better than 1 of 128 characters by chance; dynamic NTK changes nothing up to the trained length."""
    assert 1 < table["none"][0] < 128
    assert table["dynamic"][0] == table["none"][0]
    assert table["dynamic"][2] != table["none"][2]


@pytest.mark.backend("torch")
def test_patched_speed_prints_both_phases(monkeypatch, capsys):
    pytest.importorskip("transformers")
    example = load("patched_speed")
    monkeypatch.setattr(example, "PREFILL", 8)
    monkeypatch.setattr(example, "ROUNDS", {"prefill": 2, "decode": 2})
    example.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["prefill", "decode"]
    assert all(float(row[1]) > 0 for row in rows)
