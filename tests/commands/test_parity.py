"""`tightrope parity`: what it prints, what it writes, and how it exits."""

import json
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from numpy_backend import NumpyBackend, install
from samples.cli_files import LLAMA, results, write
from tightrope.cli import main


@pytest.fixture
def two_backends(monkeypatch):
    install(monkeypatch, right=NumpyBackend("right"), also=NumpyBackend("also"))


@pytest.fixture
def a_wrong_backend(monkeypatch):
    wrong = NumpyBackend("wrong", rope=lambda rope: rope.replace(direction=-1))
    install(monkeypatch, right=NumpyBackend("right"), wrong=wrong)


@pytest.fixture
def config(tmp_path):
    return write(tmp_path / "small.json", LLAMA)


def parity(*arguments):
    return CliRunner().invoke(main, ["parity", *map(str, arguments)])


@pytest.mark.usefixtures("two_backends")
def test_agreement_exits_0_and_says_so_last(config):
    ran = parity(config)
    assert ran.exit_code == 0
    assert ran.stdout.splitlines()[-1].startswith("1 configuration: 1 agree; ")


@pytest.mark.usefixtures("a_wrong_backend")
def test_disagreement_exits_1_and_names_the_backend(config):
    ran = parity(config)
    assert ran.exit_code == 1
    assert "DISAGREE" in ran.stdout
    assert "wrong:cpu against exact" in ran.stdout
    assert "right:cpu against exact" not in ran.stdout


@pytest.mark.usefixtures("two_backends")
def test_table_has_a_column_per_backend_one_between_them_and_a_row_per_quantity(config):
    lines = parity(config).stdout.splitlines()
    above, below = next(pair for pair in pairwise(lines) if "allowed" in pair[1])
    assert above.split()[-3:] == ["right:cpu", "also:cpu", "right:cpu"]
    assert below.split()[-7:] == ["−", "exact", "−", "exact", "allowed", "−", "also:cpu"]
    for quantity in ("frequencies exact", "angles float32 < 128", "rotation bfloat16", "gradient float16"):
        assert sum(line.startswith(quantity) for line in lines) == 1


@pytest.mark.usefixtures("two_backends")
def test_a_table_fits_a_terminal_of_80_columns(config):
    assert max(map(len, parity(config).stdout.splitlines()[3:-3])) <= 80


@pytest.mark.usefixtures("two_backends")
def test_rows_are_aligned(config):
    lines = parity(config).stdout.splitlines()
    rows = [line for line in lines if line.startswith(("frequencies", "angles", "rotation", "gradient"))]
    assert len({len(row) for row in rows}) == 1


@pytest.mark.usefixtures("two_backends")
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "is not JSON"),
        ("[]", "must hold a JSON object"),
        ({**LLAMA, "rope_theta": -1}, "rope_theta must be > 0, got -1"),
        ({**LLAMA, "rope_scaling": {"rope_type": "yran"}}, "did you mean 'yarn'?"),
    ],
    ids=["not JSON", "no object", "bad value", "unknown type"],
)
def test_an_unreadable_configuration_exits_1_and_says_why(tmp_path, content, expected):
    ran = parity(write(tmp_path / "bad.json", content))
    assert ran.exit_code == 1
    assert "bad.json" in ran.stdout
    assert expected in ran.stdout
    assert "1 configuration: 1 unreadable" in ran.stdout


@pytest.mark.usefixtures("two_backends")
def test_one_unreadable_configuration_does_not_hide_the_others(tmp_path, config):
    ran = parity(write(tmp_path / "bad.json", "{"), config)
    assert ran.exit_code == 1
    assert "2 configurations: 1 agree, 1 unreadable" in ran.stdout


@pytest.mark.usefixtures("two_backends")
def test_a_folder_means_every_json_in_it(tmp_path):
    for name in ("b.json", "a.json", "ignored.txt"):
        write(tmp_path / name, LLAMA)
    (report,) = results(parity(str(tmp_path), "--json", "-").stdout)
    assert [model["name"] for model in report["models"]] == ["a", "b"]


@pytest.mark.usefixtures("two_backends")
def test_a_model_folder_means_its_configuration(tmp_path):
    for name in ("config.json", "tokenizer.json"):
        write(tmp_path / name, LLAMA if name == "config.json" else [])
    (report,) = results(parity(str(tmp_path), "--json", "-").stdout)
    assert [model["name"] for model in report["models"]] == [str(tmp_path)]


@pytest.mark.usefixtures("two_backends")
def test_an_empty_folder_is_an_error(tmp_path):
    ran = parity(str(tmp_path))
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert ran.stderr == f"Error: {tmp_path}: no *.json in this folder\n"


@pytest.mark.usefixtures("a_wrong_backend")
def test_json_has_every_comparison_with_its_figures(tmp_path, config):
    file = tmp_path / "report.json"
    parity(config, "--json", str(file))
    (report,) = results(file.read_text())
    assert (report["agrees"], report["summary"]["disagree"]) == (False, 1)
    assert {backend["name"] for backend in report["backends"]} == {"right", "wrong"}
    comparisons = report["models"][0]["comparisons"]
    assert len(comparisons) == report["summary"]["comparisons"]
    assert {"absolute", "ulps", "identical", "values"} == set(comparisons[0]["figure"])


@pytest.mark.usefixtures("two_backends")
def test_json_on_standard_output_leaves_it_to_itself(config):
    assert results(parity(config, "--json", "-").stdout)[0]["agrees"] is True


@pytest.mark.usefixtures("a_wrong_backend")
def test_junit_has_a_suite_per_configuration_and_a_failure_per_disagreement(tmp_path, config):
    file = tmp_path / "junit.xml"
    bad, without = write(tmp_path / "bad.json", "{"), write(tmp_path / "jamba.json", {"model_type": "jamba"})
    parity(config, bad, without, "--junit", str(file), "--json", str(tmp_path / "r.json"))
    expected = results((tmp_path / "r.json").read_text())[0]["models"]
    small, unreadable, rotating_nothing = ElementTree.parse(file).getroot().findall("testsuite")
    assert len(small.findall("testcase")) == int(small.get("tests")) == len(expected[0]["comparisons"])
    assert len(small.findall("testcase/failure")) == int(small.get("failures")) > 0
    assert "is not JSON" in unreadable.find("testcase/error").get("message")
    assert (unreadable.get("tests"), unreadable.get("errors")) == ("1", "1")
    assert rotating_nothing.find("testcase/skipped") is not None


@pytest.mark.usefixtures("two_backends")
def test_a_model_without_rope_alone_proves_nothing(tmp_path):
    ran = parity(write(tmp_path / "jamba.json", {"model_type": "jamba"}))
    assert ran.exit_code == 1
    assert "1 configuration: 1 without rope" in ran.stdout


@pytest.mark.usefixtures("two_backends")
def test_a_model_without_rope_does_not_spoil_the_others(tmp_path, config):
    assert parity(config, write(tmp_path / "jamba.json", {"model_type": "jamba"})).exit_code == 0


def test_a_missing_backend_is_named_and_the_other_compared(monkeypatch, config):
    install(monkeypatch, here=NumpyBackend("here"), gone="backend 'gone' is not installed")
    ran = parity(config)
    assert ran.exit_code == 0
    assert "backend 'gone' is not installed; compared without it" in ran.stdout


def test_without_any_backend_it_says_how_to_install_one(monkeypatch, config):
    install(
        monkeypatch, a="backend 'a' is not installed; pip install a", b="backend 'b' is not installed; pip install b"
    )
    ran = parity(config)
    assert ran.exit_code == 1
    assert "pip install a" in ran.stderr
    assert "pip install b" in ran.stderr


@pytest.mark.usefixtures("two_backends")
def test_chosen_backends_alone_take_part(config):
    (report,) = results(parity(config, "--backends", "also:cpu", "--json", "-").stdout)
    assert [backend["name"] for backend in report["backends"]] == ["also"]


@pytest.mark.usefixtures("two_backends")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--backends", "jax"], "'jax' is none of right, also"),
        (["--dtype", "int8"], "'int8' is not one of"),
        (["--max-position", "3"], "3 is not in the range"),
        (["--rope", "{"], "is not JSON"),
        (["--rope", "4"], "must be a JSON object"),
        (["--nonsense"], "No such option"),
    ],
    ids=["backend", "dtype", "length", "rope", "rope object", "option"],
)
def test_wrong_usage_exits_2(config, arguments, expected):
    ran = parity(config, *arguments)
    assert ran.exit_code == 2
    assert expected in ran.stderr


@pytest.mark.usefixtures("two_backends")
def test_rope_needs_a_configuration_to_change():
    assert parity("--rope", '{"rope_type": "linear", "factor": 2.0}').exit_code == 2


@pytest.mark.usefixtures("two_backends")
def test_a_device_that_is_not_there_exits_1(config):
    ran = parity(config, "--backends", "right:gpu")
    assert ran.exit_code == 1
    assert ran.stderr == "Error: device of backend 'right' must be one of cpu, got 'gpu'\n"


@pytest.mark.usefixtures("two_backends")
def test_rope_replaces_the_configurations_own(config):
    block = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
    ran = parity(config, "--rope", json.dumps(block), "--json", "-")
    assert results(ran.stdout)[0]["models"][0]["ropes"]["default"].startswith("yarn, ")


@pytest.mark.usefixtures("two_backends")
def test_a_wrong_rope_is_an_error_that_names_the_key(config):
    ran = parity(config, "--rope", '{"rope_type": "yarn", "facter": 4.0}')
    assert ran.exit_code == 1
    assert "facter" in ran.stdout


@pytest.mark.usefixtures("two_backends")
def test_dtype_and_max_position_narrow_the_comparison(config):
    ran = parity(config, "--dtype", "float16", "--max-position", "100", "--json", "-")
    comparisons = results(ran.stdout)[0]["models"][0]["comparisons"]
    assert {one["numbers"] for one in comparisons if one["kind"] == "gradient"} == {"float16"}
    assert {one["group"] for one in comparisons if one["kind"] == "angles"} == {"< 100"}


@pytest.mark.usefixtures("a_wrong_backend")
def test_quiet_still_says_what_disagrees(config):
    ran = parity(config, "--quiet")
    assert (ran.exit_code, ran.output) == (1, "Error: small: disagree\n")


@pytest.mark.usefixtures("two_backends")
def test_quiet_says_that_nothing_was_compared(tmp_path):
    ran = parity(write(tmp_path / "none.json", {"model_type": "jamba"}), "--quiet")
    assert (ran.exit_code, ran.output) == (1, "Error: no configuration has a rope to compare\n")


@pytest.mark.usefixtures("two_backends")
def test_a_report_that_cannot_be_written_is_one_line(tmp_path, config):
    ran = parity(config, "--quiet", "--json", str(tmp_path / "no such folder" / "r.json"))
    assert ran.exit_code == 1
    assert ran.stderr.startswith("Error: ")
    assert len(ran.stderr.splitlines()) == 1
