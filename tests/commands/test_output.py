"""What all commands have in common: --json, --quiet, progress, colours, completion; a new command must have them."""

import json
import math
import os
import subprocess
import sys

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from numpy_backend import NumpyBackend, install
from paths import ROOT
from tightrope.cli import main
from tightrope.commands.shared.output import JSON, QUIET, SCHEMA
from tightrope.verify import doctor, timing
from tightrope.verify.audit.report import Audit, PeerAudit
from tightrope.verify.selftest import session as selftest
from tightrope.verify.selftest.checks import DeviceCheck
from tightrope.viewing import report

LLAMA = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 64}

# Of every command: arguments with which it succeeds, and what its progress is called, where it can take two seconds.
FORM = ROOT / "docs" / "tightrope.schema.json"
RUNS = {
    "audit": (["config.json"], "auditing"),
    "bench": ([], "timing"),
    "convert": (["config.json", "--to", "v5", "-o", "v5.json"], None),
    "doctor": ([], "looking at this machine"),
    "fingerprint": (["config.json"], None),
    "golden check": (["golden.safetensors"], "checking"),
    "golden write": (["config.json", "-o", "new.safetensors"], "recording"),
    "inspect": (["config.json", "--plot", "rope.svg"], "drawing"),
    "learn": (["a_family"], None),
    "parity": (["config.json", "--dtype", "float32"], "comparing"),
    "precision": (["config.json"], "measuring"),
    "report": (["config.json", "-o", "report.html"], "comparing"),
    "selftest": ([], "testing kernels"),
    "validate": (["config.json"], "reading"),
}
# Of every command that can say no: what it says then.
FAILURES = {
    "audit": "rotated differently from the configuration: config",
    "doctor": "wrong here: Python",
    "golden check": "golden.safetensors: DISAGREES: numpy:cpu gradient bfloat16",
    "parity": "config.json: unreadable",
    "selftest": "failed on numpy cpu",
    "validate": "problems in config.json",
}


class Learned:
    """What a family was seen to do."""

    source, columns = "a library 1.0", {"layout": "half"}

    def line(self, model_type):
        return f"{model_type}: half"


def leaves(group, path=()):
    """Yield the words and the command of every command, those of groups of commands included."""
    for name, command in group.commands.items():
        words = (*path, name)
        yield from leaves(command, words) if isinstance(command, click.Group) else [(" ".join(words), command)]


COMMANDS = dict(leaves(main))
# As if a person looked on, whatever terminal the tests have.
TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
WORDS = {"--json": JSON, "--quiet": QUIET}
EACH = pytest.mark.parametrize("name", sorted(COMMANDS))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command by its words, on a small configuration and a backend in numpy; nothing slow is real."""
    for package in ("safetensors", "matplotlib", "plotly"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    install(monkeypatch, numpy=NumpyBackend())
    report_of_numpy = selftest.SelftestReport({"Python": "3"}, (selftest.Device("numpy", "2", "cpu", "numpy", ()),), ())
    monkeypatch.setattr(selftest, "run", lambda tell: tell("kernels") or report_of_numpy)
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("backends", "numpy", "ok", "works")])
    monkeypatch.setattr(timing, "plan", lambda *given, **more: [])
    monkeypatch.setattr("tightrope.rope.reading.families.learned.learned_family", lambda name: Learned())
    agreeing = Audit("config", (PeerAudit("a library 1.0", "agrees", "turns it as it says"),))
    monkeypatch.setattr("tightrope.verify.audit.audit", lambda *given, **more: agreeing)
    monkeypatch.setattr(report, "findings", lambda config, wanted: {"parity": lambda: None})

    def invoke(name, *arguments, env=None):
        return CliRunner().invoke(main, [*name.split(), *arguments], env=env)

    assert invoke("golden write", "config.json", "-o", "golden.safetensors").exit_code == 0
    return invoke


def test_every_command_is_tried_here():
    assert sorted(RUNS) == sorted(COMMANDS)


@EACH
def test_json_and_quiet_mean_the_same_everywhere(name):
    helps = {one.opts[-1]: one.help for one in COMMANDS[name].params if one.opts[-1] in WORDS}
    assert helps == WORDS


@EACH
def test_json_on_standard_output_leaves_it_to_itself(run, name):
    ran = run(name, *RUNS[name][0], "--json", "-")
    assert ran.exit_code == 0, ran.output
    framed = json.loads(ran.stdout)
    assert (framed["schema"], framed["command"]) == (SCHEMA, name)
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator(json.loads(FORM.read_text())).validate(framed)


@EACH
def test_json_in_a_file_leaves_the_words_as_they_are(run, name, tmp_path):
    before = run(name, *RUNS[name][0])
    ran = run(name, *RUNS[name][0], "--json", "found.json")
    json.loads((tmp_path / "found.json").read_text())
    assert "found.json: written" in ran.output.splitlines()
    assert [line.split()[:1] for line in ran.output.splitlines() if line != "found.json: written"] == [
        line.split()[:1] for line in before.output.splitlines()
    ]


@EACH
def test_quiet_says_nothing_where_all_is_well(run, name):
    ran = run(name, *RUNS[name][0], "--quiet", env=TERMINAL)
    assert (ran.exit_code, ran.output) == (0, "")


@pytest.fixture
def spoiled(run, monkeypatch, tmp_path):
    """Make every command that can say no do so."""
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "num_hidden_layers": 0}))
    wrong = DeviceCheck("a rotation", identical=False, ulps=7.0, passed=False)
    failed = selftest.SelftestReport({}, (selftest.Device("numpy", "2", "cpu", "numpy", (wrong,)),), ())
    monkeypatch.setattr(selftest, "run", lambda tell: failed)
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("system", "Python", "problem", "old")])
    audited = Audit("config", (PeerAudit("a library 1.0", "wrong", "turns it round"),))
    monkeypatch.setattr("tightrope.verify.audit.audit", lambda *given, **more: audited)
    install(monkeypatch, numpy=NumpyBackend(result=lambda y, x: -y))
    return run


@pytest.mark.parametrize("name", FAILURES)
def test_quiet_says_in_one_line_what_failed(spoiled, name):
    ran = spoiled(name, *RUNS[name][0], "--quiet")
    assert ran.exit_code == 1
    assert ran.stdout == ""
    assert ran.stderr.startswith(f"Error: {FAILURES[name]}")
    assert len(ran.stderr.splitlines()) == 1


@EACH
def test_quiet_writes_files_all_the_same(run, name, tmp_path):
    arguments = RUNS[name][0]
    json.loads(run(name, *arguments, "--quiet", "--json", "-").stdout)
    files = [arguments[index + 1] for index, one in enumerate(arguments) if one in ("-o", "--plot")]
    assert [file for file in files if not (tmp_path / file).exists()] == []


@EACH
def test_a_pipe_gets_neither_colours_nor_progress(run, name):
    ran = run(name, *RUNS[name][0])
    assert "\x1b" not in ran.output
    assert not RUNS[name][1] or RUNS[name][1] not in ran.output


@pytest.mark.parametrize("name", [name for name, (_, doing) in RUNS.items() if doing])
def test_a_terminal_sees_what_a_slow_command_is_at(run, name):
    assert RUNS[name][1] in run(name, *RUNS[name][0], env=TERMINAL).output


@pytest.mark.parametrize(("settings", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["plain", "NO_COLOR"])
def test_colours_on_a_terminal_unless_unwanted(run, settings, coloured):
    ran = run("doctor", env={**TERMINAL, **settings})
    assert ("\x1b[32m" in ran.output) is coloured


def test_an_infinity_is_null(spoiled, monkeypatch):
    """Python would write Infinity, which no other reader of JSON knows."""
    failed = DeviceCheck("a rotation", identical=False, ulps=math.inf, passed=False, error="raised")
    device = selftest.Device("numpy", "2", "cpu", "numpy", (failed,))
    monkeypatch.setattr(selftest, "run", lambda tell: selftest.SelftestReport({}, (device,), ()))
    told = json.loads(spoiled("selftest", "--json", "-").stdout, parse_constant=pytest.fail)
    assert told["results"][0]["devices"][0]["checks"][0]["ulps"] is None


def test_a_name_is_printed_as_it_is(run, tmp_path):
    (tmp_path / "a:b:[red].json").write_text("{")
    assert run("validate", "a:b:[red].json").stdout.startswith("a:b:[red].json: ")


def test_two_files_cannot_both_be_standard_output(run):
    ran = run("convert", "config.json", "--to", "v5", "--json", "-")
    assert ran.exit_code == 2
    assert "only one of --output, --json can be standard output" in ran.output


def test_a_json_file_that_cannot_be_written_is_one_line(run):
    ran = run("inspect", "config.json", "--quiet", "--json", "none/found.json")
    assert ran.exit_code == 1
    assert ran.output == "Error: Could not open file 'none/found.json': No such file or directory\n"


@pytest.mark.parametrize(("typed", "expected"), [("par", {"parity"}), ("--tr", {"--traceback"})])
def test_a_shell_completes_commands_and_options(typed, expected):
    completer = ShellComplete(main, {}, "tightrope", "_TIGHTROPE_COMPLETE")
    assert {one.value for one in completer.get_completions([], typed)} == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion_script(shell):
    script = "from tightrope.cli import main; main(prog_name='tightrope')"
    env = {**os.environ, "_TIGHTROPE_COMPLETE": f"{shell}_source"}
    ran = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "_TIGHTROPE_COMPLETE" in ran.stdout
