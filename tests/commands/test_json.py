"""`--json` where a command prints findings: the same findings, for machines."""

import json

import pytest
from click.testing import CliRunner

from samples.cli_files import results
from tightrope.cli import main

CONFIG = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "good.json").write_text(json.dumps(CONFIG))
    (tmp_path / "bad.json").write_text(json.dumps({**CONFIG, "rope_scaling": {"rope_type": "yran"}}))
    return tmp_path


def test_validate_lists_the_problems_of_each_configuration(folder):
    ran = CliRunner().invoke(main, ["validate", str(folder), "--json", "-"])
    found = {one["source"]: one["problems"] for one in results(ran.stdout)}
    assert ran.exit_code == 1
    assert found[str(folder / "good.json")] == []
    assert "did you mean 'yarn'?" in found[str(folder / "bad.json")][0]


def test_validate_succeeds_where_all_is_well(folder):
    ran = CliRunner().invoke(main, ["validate", str(folder / "good.json"), "--json", "-"])
    assert (ran.exit_code, results(ran.stdout)) == (0, [{"source": str(folder / "good.json"), "problems": []}])


@pytest.mark.backend("torch")
def test_precision_has_the_figures_of_its_table(folder):
    arguments = ["precision", str(folder / "good.json"), "--backends", "torch:cpu"]
    (found,) = results(CliRunner().invoke(main, [*arguments, "--json", "-"]).stdout)
    figures = found["errors"]["torch:cpu"]
    table = CliRunner().invoke(main, arguments).output
    for errors in figures.values():
        assert f"{errors['exact']:.1e}" in table
        assert f"{errors['float32']:.1e}" in table
