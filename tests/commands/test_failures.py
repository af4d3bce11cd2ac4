"""What goes wrong in a terminal, a pipe or on a disk: one line and its own exit status, never a traceback."""

import json
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from harness.terminal import each_in_terminal, in_terminal, read_all, screen, start
from paths import ROOT
from samples.cli_files import LLAMA, write
from tightrope.cli import main

PROGRAM = [sys.executable, "-m", "tightrope"]
FORM = ROOT / "docs" / "tightrope.schema.json"
HOSTILE = "\x1b]0;owned\x07\x1b[2Jllama\u202e\n"


@pytest.fixture
def config(tmp_path):
    return write(tmp_path / "config.json", LLAMA)


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def process(*arguments, **options):
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, **options)


def test_an_interruption_exits_130(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("tightrope.verify.doctor.examine", interrupted)
    ran = run("doctor")
    assert (ran.exit_code, ran.output) == (130, "Interrupted.\n")


def test_a_reader_that_goes_away_exits_141(config):
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([*PROGRAM, "inspect", str(config)], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_an_error_within_a_loop_stands_on_a_line_of_its_own(config):
    """The bar is gone before the message is printed: it would wipe away the line that it stands on."""
    missing = "import sys; sys.argv = ['tightrope', 'audit', 'config.json']; from tightrope.verify import audit\n"
    missing += "from tightrope.rope.errors import BackendUnavailable\nfrom tightrope.cli import main\n"
    missing += "def fail(*_, **__): raise BackendUnavailable('there is no library')\naudit.audit = fail\nmain()"
    process, end = start([sys.executable, "-c", missing], 80, cwd=config.parent)
    shown = read_all(end)
    assert process.wait() == 1
    assert screen(shown)[0] == "Error: there is no library"


@pytest.mark.parametrize(
    ("words", "package"),
    [("report config.json -o r.html", "plotly"), ("precision config.json --plot p.png", "matplotlib"),
     ("golden write config.json -o g.safetensors", "safetensors")],
)  # fmt: skip
def test_a_missing_package_is_told_before_any_work(config, monkeypatch, words, package):
    def working(*given, **more):
        raise AssertionError("worked before the package was looked for")

    monkeypatch.chdir(config.parent)
    monkeypatch.setitem(sys.modules, package, None)
    for command in ("report", "precision", "golden"):
        monkeypatch.setattr(f"tightrope.commands.{command}.read_model", working)
    ran = run(*words.split())
    assert ran.exit_code == 1
    assert f"need {package}; python -m pip install" in ran.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("options", [[], ["--json", "-"]], ids=["words", "json"])
def test_a_full_disk_behind_standard_output_is_one_line(config, options):
    with open("/dev/full", "wb") as full:
        ran = subprocess.run([*PROGRAM, "inspect", str(config), *options], stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 1
    assert b"Traceback" not in ran.stderr
    assert ran.stderr.endswith(b"Error: standard output: No space left on device\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_signs_that_an_encoding_lacks_are_replaced(tmp_path, encoding):
    source = write(tmp_path / "c.json", {**LLAMA, "model_type": "ملف✓"})
    ran = process("inspect", source, env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert ran.returncode == 0, ran.stderr
    assert b"????" in ran.stdout


def test_what_acts_on_a_terminal_is_shown_escaped(tmp_path):
    folder = tmp_path / HOSTILE.replace("/", "")
    folder.mkdir()
    source = write(folder / "c.json", {**LLAMA, "model_type": HOSTILE, "rope_scaling": {"rope_type": HOSTILE}})
    good = write(folder / "d.json", {**LLAMA, "model_type": HOSTILE, "rope_thета\x1b[2J": 1})
    for words in (
        ["inspect", source],
        ["validate", source],
        ["inspect", good],
        ["fingerprint", good],
        ["convert", good],
    ):
        ran = run(*words)
        assert not {"\x1b", "\x07", "\u202e"} & set(ran.output), words
        assert ran.exception is None or isinstance(ran.exception, SystemExit)


@pytest.mark.backend("torch")
def test_junit_is_well_formed_whatever_a_name_holds(tmp_path):
    from xml.etree import ElementTree

    source = write(tmp_path / "a\x01\x1b]<&>.json", {**LLAMA, "rope_scaling": {"rope_type": "\x02\ud800"}})
    run("parity", source, "--junit", tmp_path / "junit.xml")
    (suite,) = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert suite.get("name") == "a\\x01\\x1b]<&>"


INTO = {
    "report": ["-o"], "inspect": ["--json"], "golden write": ["-o"], "validate": ["--json"], "precision": ["--json"],
    "fingerprint": ["--json"], "audit": ["--json"], "parity": ["--junit"],
}  # fmt: skip


@pytest.mark.parametrize("way", ["same name", "hard link", "symbolic link", "folder"])
@pytest.mark.parametrize("name", INTO)
def test_an_output_never_overwrites_an_input(config, tmp_path, name, way):
    before, target = config.read_bytes(), config
    if way == "hard link":
        target = tmp_path / "other.json"
        os.link(config, target)
    if way == "symbolic link":
        target = tmp_path / "link.json"
        target.symlink_to(config)
    ran = run(*name.split(), tmp_path if way == "folder" else config, *INTO[name], target)
    assert ran.exit_code == 2
    assert "would overwrite an input" in ran.stderr
    assert config.read_bytes() == before


def test_convert_may_write_its_own_input_but_not_its_findings_there(config):
    assert run("convert", config, "--to", "v5", "-o", config).exit_code == 0
    assert "rope_parameters" in json.loads(config.read_text())
    assert run("convert", config, "--to", "v4", "-o", config, "--json", config).exit_code == 2


def test_two_outputs_are_two_files(config, tmp_path):
    ran = run("report", config, "-o", tmp_path / "x", "--json", tmp_path / "." / "x")
    assert ran.exit_code == 2
    assert "--output and --json are one file" in ran.stderr


def test_a_folder_that_cannot_be_written_is_told_before_any_work(config, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    ran = run("report", "missing.json", "-o", tmp_path / "x.html")
    assert ran.exit_code == 1
    assert ran.stderr == f"Error: Could not open file '{tmp_path / 'x.html'}': Permission denied\n"


def test_a_circle_of_links_is_one_line(config, tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    ran = run("convert", config, "--to", "v4", "-o", tmp_path / "a")
    assert ran.exit_code == 1
    assert ran.stderr.count("\n") == 1


def sources(group):
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from sources(command)
        else:
            yield from (one for one in command.params if one.name in ("source", "sources", "configs", "second"))


def test_a_shell_completes_files_as_sources():
    found = list(sources(main))
    assert len(found) > 10
    for one in found:
        assert [item.type for item in one.type.shell_complete(None, one, "con")] == ["file"]


OWN = """
from dataclasses import dataclass
import tightrope
from tightrope.rope.scaling import Scaling

@tightrope.rope_type("{name}")
@dataclass(frozen=True, kw_only=True)
class Own(Scaling):
    def frequencies(self, rope, arithmetic, seq_len):
        return arithmetic.powers(rope.base, rope.exponent_dim, rope.pairs) / 3.0, 1.0
"""


@pytest.mark.parametrize("way", ["--import", "entry point"])
def test_a_rope_type_of_ones_own_is_known_on_the_command_line(tmp_path, way):
    (tmp_path / "own_type.py").write_text(OWN.format(name="tripled"))
    source = write(tmp_path / "config.json", {**LLAMA, "rope_scaling": {"rope_type": "tripled"}})
    assert process("inspect", source).returncode == 1
    words = ["--import", "own_type"] if way == "--import" else []
    if not words:
        (tmp_path / "own-1.dist-info").mkdir()
        (tmp_path / "own-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1\n")
        (tmp_path / "own-1.dist-info" / "entry_points.txt").write_text("[tightrope.rope_types]\ntripled = own_type\n")
    path = os.pathsep.join(filter(None, ["" if words else str(tmp_path), os.environ.get("PYTHONPATH")]))
    ran = process(*words, "inspect", source, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    assert ran.returncode == 0, ran.stderr
    assert b"rope_type tripled" in ran.stdout


def test_a_module_that_is_not_there_is_wrong_usage(config):
    ran = run("--import", "no_such_module_at_all", "inspect", config)
    assert ran.exit_code == 2
    assert "--import no_such_module_at_all fails: ModuleNotFoundError" in ran.stderr


def test_diff_says_in_words_what_tells_two_apart(config, tmp_path):
    other = write(tmp_path / "b.json", {**LLAMA, "rope_theta": 20000.0, "max_position_embeddings": 256})
    ran = run("inspect", "--diff", config, other)
    assert ran.exit_code == 1
    assert "base 10000 and 20000" in ran.stdout
    assert "besides: max_position_embeddings 128 and 256" in ran.stdout


def test_diff_of_two_spellings_is_none(config, tmp_path):
    run("convert", config, "--to", "v5", "-o", tmp_path / "v5.json")
    ran = run("inspect", "--diff", config, tmp_path / "v5.json")
    assert (ran.exit_code, ran.stdout) == (0, f"{config} and {tmp_path / 'v5.json'} rotate alike\n")


@pytest.mark.parametrize("words", [["--diff"], []], ids=["one source", "no --diff"])
def test_diff_takes_two_sources(config, words):
    assert run("inspect", *words, config, *([] if words else [config])).exit_code == 2


# Command lines of every command, with the options that change what is printed.
RUNS = [
    "learn olmo2", "inspect wide.json", "inspect far.json", "inspect --diff config.json wide.json",
    "validate broken.json", "convert wide.json --to v5 -o new.json", "convert config.json --to gguf-metadata",
    "fingerprint config.json wide.json", "precision config.json", "doctor", "audit wide.json",
    "audit config.json wide.json --matrix",
    "audit config.json wide.json broken.json", "bench --quick --rounds 1 --seq 4", "parity config.json --dtype float32",
    "parity broken.json", "golden write config.json -o new.safetensors --backends torch:cpu", "selftest",
    "golden check old.safetensors --backends torch:cpu", "report config.json -o new.html",
    "inspect wide.json --plot new.svg", "convert wide.json --to v4", "inspect nosuch.json", "parity --dtype float8",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    for name in ("transformers", "mlx_lm", "safetensors", "plotly", "matplotlib"):
        pytest.importorskip(name, exc_type=ImportError)
    path = tmp_path_factory.mktemp("terminal")
    write(path / "config.json", LLAMA)
    write(path / "broken.json", {**LLAMA, "rope_theta": -1})
    longrope = {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8, "factor": 32.0}
    wide = {**LLAMA, "rope_theta": 3e6, "max_position_embeddings": 4096, "rope_scaling": longrope}
    write(path / "wide.json", wide)
    write(path / "far.json", {**LLAMA, "rope_theta": 3.0e9, "max_position_embeddings": 2**31, "rope_scaling": {
        **longrope, "short_factor": [1.5] * 8, "original_max_position_embeddings": 2**30}})  # fmt: skip
    process("golden", "write", "config.json", "-o", "old.safetensors", "--backends", "torch:cpu", cwd=path)
    return path


@pytest.fixture(scope="module", params=[80, 120])
def terminal(request, folder):
    """What each of RUNS shows in a terminal of so many columns; beside each, what it writes for machines."""
    runs = [[*words.split(), "--json", f"found-{number}.json"] for number, words in enumerate(RUNS)]
    return request.param, dict(zip(RUNS, each_in_terminal(runs, request.param, cwd=folder), strict=True))


@pytest.mark.backend("torch", "mlx")
@pytest.mark.parametrize("words", RUNS)
def test_every_line_fits_the_terminal(terminal, words):
    columns, shown = terminal
    status, lines = shown[words]
    assert status in (0, 1) or words == "parity --dtype float8"
    assert max(map(len, lines)) <= columns
    assert not any("…" in line for line in lines if "note" not in line and "[" not in line), lines


@pytest.mark.backend("torch", "mlx")
def test_what_is_written_for_machines_has_the_documented_fields(terminal, folder):
    jsonschema = pytest.importorskip("jsonschema")
    schema = jsonschema.Draft202012Validator(json.loads(FORM.read_text()))
    written = [json.loads(path.read_text()) for path in sorted(folder.glob("found-*.json"))]
    for one in written:
        schema.validate(one)
    assert {one["command"] for one in written} == {" ".join(words) for words, _ in leaves(main)}


def leaves(group, path=()):
    for name, command in group.commands.items():
        words = (*path, name)
        yield from leaves(command, words) if isinstance(command, click.Group) else [(words, command)]


def test_every_command_is_tried_in_a_terminal():
    tried = {tuple(words.split()) for words in RUNS}
    assert [words for words, _ in leaves(main) if not any(one[: len(words)] == words for one in tried)] == []


@pytest.mark.parametrize("words", [[], *(list(words) for words, _ in leaves(main))], ids=" ".join)
def test_help_fits_80_columns(words):
    shown = CliRunner().invoke(main, [*words, "--help"], terminal_width=80).output.splitlines()
    assert [line for line in shown if len(line) > 80] == []


@pytest.mark.backend("torch")
def test_a_table_of_a_narrow_terminal_has_every_digit_of_a_wide_one(folder):
    def numbers(columns):
        _, lines = in_terminal(["inspect", "wide.json"], columns, cwd=folder)
        return [word for line in lines for word in line.split() if word[:1].isdigit()]

    assert set(numbers(200)) <= set(numbers(40))


@pytest.mark.backend("torch")
def test_a_stacked_row_has_its_title_at_the_margin_and_its_figures_further_in(folder):
    _, lines = in_terminal(["inspect", "wide.json"], 40, cwd=folder)
    start = lines.index("wavelengths in tokens:")
    title, *figures = lines[start + 1 : start + 4]
    assert title.startswith("up to ")
    assert all(line.startswith("  ") for line in figures)
