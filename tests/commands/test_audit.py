"""`tightrope audit`: what it prints, what it writes, and how it exits."""

import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from audits.peers import LLAMA31, MadeUp, without_scaling
from samples.cli_files import results
from tightrope.cli import main
from tightrope.verify.audit.peers import PEERS, PeerEntry, PeerUnusable
from tightrope.verify.audit.remedies import remedies
from tightrope.verify.audit.report import Audit, PeerAudit
from tightrope.viewing.terminal.audit import print_audit
from tightrope.viewing.terminal.console import Screen


@pytest.fixture
def run(monkeypatch):
    """Run the command with made-up peers: one is right, one drops the scaling."""
    made = {"right": MadeUp(lambda rope: rope), "wrong": MadeUp(without_scaling)}
    entries = {name: PeerEntry(name, "json", "json") for name in made}
    monkeypatch.setattr("tightrope.verify.audit.PEERS", entries)
    monkeypatch.setattr("tightrope.verify.audit.run.installed", lambda: tuple(made))
    monkeypatch.setattr("tightrope.verify.audit.run.load", lambda name: (made[name], "1.0"))
    return lambda *arguments: CliRunner().invoke(main, ["audit", *map(str, arguments)])


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "models" / "llama.json"
    path.parent.mkdir()
    path.write_text(json.dumps(LLAMA31))
    return path


def test_one_model_gets_a_table_and_a_verdict_for_each_peer(run, config):
    output = run(config).output
    assert "131,000" in output
    assert "right 1.0 rotates this model as config.json says" in output
    assert "wrong 1.0 rotates this model without its llama3 scaling. Cause: scaling ignored." in output


def test_a_folder_gets_a_line_for_each_model_and_a_summary_for_each_peer(run, config):
    (config.parent / "other.json").write_text(json.dumps(LLAMA31))
    output = run(config.parent).output
    assert [line.split()[0] for line in output.splitlines() if "WRONG" in line] == ["llama", "other"]
    assert "wrong 1.0: 2 wrong. Causes: scaling ignored 2." in output


def test_a_peer_that_is_wrong_is_exit_status_1(run, config):
    assert run(config).exit_code == 1


def test_peers_that_are_right_are_exit_status_0(run, config):
    assert run(config, "--against", "right").exit_code == 0


@pytest.mark.parametrize(("text", "status"), [("[1]", 1), ('{"model_type": "jamba"}', 0)])
def test_a_configuration_that_cannot_be_right_is_exit_status_1(run, config, text, status):
    config.write_text(text)
    assert run(config).exit_code == status


def test_a_peer_that_does_not_exist_is_exit_status_2(run, config):
    result = run(config, "--against", "vllm")
    assert result.exit_code == 2
    assert "'vllm' is none of right, wrong" in result.output


def test_nothing_to_audit_is_exit_status_1_and_says_what_to_install(run, config, monkeypatch):
    monkeypatch.setattr("tightrope.verify.audit.run.installed", tuple)
    result = run(config)
    assert (result.exit_code, result.stdout) == (1, "")
    said, *commands = result.stderr.rstrip("\n").replace("; or ", "; ").split("; ")
    assert said == "Error: there is no library to audit"
    packages = ["transformers", "mlx-lm", "mlx-vlm", "vllm", "xllamacpp"]
    for package, command in zip(packages, commands, strict=True):
        assert re.fullmatch(rf'python -m pip install ("[\w>=.\[\]-]+" )*"{package}(>=[\d.]+)?"', command)


def test_json_has_every_figure(run, config, tmp_path):
    run(config, "--json", tmp_path / "audit.json")
    (audited,) = results((tmp_path / "audit.json").read_text())
    right, wrong = audited["peers"]
    assert (right["status"], wrong["status"], wrong["causes"]) == ("agrees", "wrong", ["scaling ignored"])
    assert wrong["ropes"]["default"]["errors"]["131000"] > right["ropes"]["default"]["errors"]["131000"]
    assert (wrong["fixable"], wrong["remedies"]) == (False, [])  # a made-up peer has no remedy


def test_a_model_without_rotation_and_one_that_cannot_be_read_have_their_line(run, config):
    (config.parent / "jamba.json").write_text(json.dumps({"model_type": "jamba"}))
    (config.parent / "broken.json").write_text("{")
    output = run(config.parent).output
    assert "it has no rotary position embedding" in output
    assert "is not JSON" in output


def test_an_error_in_one_file_of_a_folder_is_its_own(run, config, monkeypatch):
    (config.parent / "other.json").write_text(json.dumps(LLAMA31))
    from tightrope.verify.audit.run import audit

    def fails_once(source, *arguments, **options):
        if options["name"] == "llama":
            raise ZeroDivisionError("division by zero")
        return audit(source, *arguments, **options)

    monkeypatch.setattr("tightrope.verify.audit.audit", fails_once)
    result = run(config.parent, "--against", "right")
    assert "the audit failed: ZeroDivisionError: division by zero" in result.output
    assert [line.split()[1] for line in result.output.splitlines() if "other" in line] == ["right"]
    assert result.exit_code == 1


def test_a_matrix_has_models_down_and_peers_across(run, config):
    (config.parent / "jamba.json").write_text(json.dumps({"model_type": "jamba"}))
    shown = run(config.parent, "--matrix").output
    assert [line.split() for line in shown.splitlines() if line] == [
        ["model", "right", "1.0", "wrong", "1.0"],
        ["jamba", "–", "–"],
        ["llama", "right", "WRONG"],
        ["how", "many", "right", "1.0", "wrong", "1.0"],
        ["right", "1", "0"],
        ["WRONG", "0", "1"],
        ["–", "1", "1"],
        ["jamba:", *["it", "has", "no", "rotary", "position", "embedding"]],
    ]


def test_a_matrix_is_written_as_one_markdown_table(run, config, tmp_path):
    (config.parent / "jamba.json").write_text(json.dumps({"model_type": "jamba"}))
    assert f"{tmp_path / 'table.md'}: written" in run(config.parent, "-o", tmp_path / "table.md").output
    assert (tmp_path / "table.md").read_text().splitlines() == [
        "| model | right 1.0 | wrong 1.0 |",
        "| --- | --- | --- |",
        "| jamba | – | – |",
        "| llama | right | WRONG |",
        "| **right** | 1 | 0 |",
        "| **WRONG** | 0 | 1 |",
        "| **–** | 1 | 1 |",
    ]


@pytest.fixture
def elsewhere(run, config, tmp_path):
    """Return the findings of one library, as another environment would have written them."""
    run(config, "--against", "wrong", "--json", tmp_path / "elsewhere.json")
    return tmp_path / "elsewhere.json"


def test_findings_of_another_environment_are_shown_beside_these(run, config, elsewhere):
    result = run(config, "--against", "right", "--matrix", "--with", elsewhere)
    heading, model = [line.split() for line in result.output.splitlines()][:2]
    assert heading == ["model", "right", "1.0", "wrong", "1.0"]
    assert model == ["llama", "right", "WRONG"]
    assert result.exit_code == 1


def test_findings_alone_are_shown_with_every_figure(run, config, elsewhere, tmp_path):
    result = run("--with", elsewhere, "--json", tmp_path / "again.json")
    assert result.output.startswith("llama\n")
    assert results((tmp_path / "again.json").read_text()) == results(elsewhere.read_text())


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "must be what tightrope audit --json"),
     ('{"schema": 1, "command": "parity", "results": []}', "command 'parity'"),
     ('{"schema": 2, "command": "audit", "results": []}', "schema 2"), ("[]", "must be what tightrope audit --json"),
     ('{"schema": 1, "command": "audit", "results": [{}]}', "no field 'peers'")],
)  # fmt: skip
def test_findings_that_are_something_else_are_one_line_and_exit_status_1(run, config, tmp_path, text, said):
    (tmp_path / "elsewhere.json").write_text(text)
    result = run(config, "--with", tmp_path / "elsewhere.json")
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_findings_are_not_overwritten(run, config, elsewhere):
    result = run(config, "--with", elsewhere, "--json", elsewhere)
    assert result.exit_code == 2
    assert "--json would overwrite an input" in result.output


def test_neither_a_configuration_nor_findings_is_exit_status_2(run):
    assert run().exit_code == 2


def test_a_library_that_cannot_be_examined_here_is_said_and_exit_status_1(run, config, monkeypatch):
    def unusable(*arguments, **options):
        raise PeerUnusable("wrong ELF class")

    monkeypatch.setattr(MadeUp, "build", unusable)
    result = run(config, "--against", "right")
    assert "right 1.0 cannot be examined here: wrong ELF class" in result.output
    assert result.exit_code == 1


@pytest.mark.parametrize("name", [name for name, entry in PEERS.items() if entry.remedy])
def test_a_verdict_ends_with_the_call_that_mends_it(name, capsys):
    peer = PeerAudit(f"{name} 1.0", "wrong", "it rotates otherwise", causes=("scaling ignored",))
    peer = replace(peer, remedies=remedies(peer, name, "config.json"))
    print_audit(Screen(), Audit("a", (peer,)))
    assert f"Cause: scaling ignored. Fix: {PEERS[name].remedy}\n" in capsys.readouterr().out
