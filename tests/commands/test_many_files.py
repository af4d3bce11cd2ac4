"""Commands on several files: whatever is wrong with one is said on its line, the others go on, the status tells."""

import json
import os
import socket

import pytest
from click.testing import CliRunner

from samples.cli_files import LLAMA, write
from tightrope.cli import main

COMMANDS = {
    "validate": ["validate"],
    "audit": ["audit"],
    "parity": ["parity", "--dtype", "float32", "--backends", "torch:cpu"],
}
# What does the work on one file, and where the command finds it.
WORK = {
    "validate": "tightrope.rope.reading.validate.problems",
    "audit": "tightrope.verify.audit.audit",
    "parity": "tightrope.verify.parity.compare_source",
}
EACH = pytest.mark.parametrize("name", COMMANDS)
pytestmark = pytest.mark.backend("torch")


def run(*arguments):
    ran = CliRunner().invoke(main, list(map(str, arguments)))
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran


@pytest.fixture
def folder(tmp_path):
    """Two configurations with what may stand between them."""
    write(tmp_path / "a_good.json", LLAMA)
    write(tmp_path / "z_good.json", LLAMA)
    (tmp_path / "b_cut.json").write_text("{")
    (tmp_path / "c_list.json").write_text("[]")
    (tmp_path / "d_bytes.json").write_bytes(b"\xff\xfe")
    (tmp_path / "e_gguf.json").write_bytes(b"GGUF\x03\0\0\0")
    (tmp_path / "f_folder.json").mkdir()
    (tmp_path / "g_circle.json").symlink_to("g_circle.json")
    (tmp_path / "h_nowhere.json").symlink_to("nowhere")
    os.mkfifo(tmp_path / "i_pipe.json")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.path.relpath(tmp_path / "j_socket.json"))
    return tmp_path


BROKEN = ["b_cut", "c_list", "d_bytes", "e_gguf", "g_circle", "h_nowhere"]


@EACH
def test_broken_files_are_named_and_the_others_have_their_result(name, folder):
    ran = run(*COMMANDS[name], folder, "--json", folder / "found")
    assert ran.exit_code == 1
    assert all(one in ran.output for one in BROKEN)
    assert not any(one in ran.output for one in ("f_folder", "i_pipe", "j_socket"))
    results = json.loads((folder / "found").read_text())["results"]
    if name == "validate":
        good = [one["source"] for one in results if not one["problems"]]
        assert [os.path.basename(one) for one in good] == ["a_good.json", "z_good.json"]
    if name == "audit":
        assert [one["config"] for one in results if not one["unreadable"]] == ["a_good", "z_good"]
    if name == "parity":
        assert [one["name"] for one in results[0]["models"] if one["verdict"] == "agree"] == ["a_good", "z_good"]


@EACH
@pytest.mark.parametrize(
    "error", [ZeroDivisionError("division by zero"), OSError(5, "Input/output error"), MemoryError()]
)
def test_an_error_that_nobody_foresaw_is_one_files_own(name, error, tmp_path, monkeypatch):
    for file in ("a", "b", "c"):
        write(tmp_path / f"{file}.json", LLAMA)
    module, _, function = WORK[name].rpartition(".")
    module = __import__(module, fromlist=["*"])
    works, calls = getattr(module, function), []

    def fails_once(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise error
        return works(*arguments, **options)

    monkeypatch.setattr(module, function, fails_once)
    ran = run(*COMMANDS[name], tmp_path)
    assert ran.exit_code == 1
    assert type(error).__name__ in ran.output
    assert len(calls) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / "locked").mkdir(mode=0)
    assert "cannot be read: Permission denied" in run("validate", tmp_path / "locked").stderr


def test_a_folder_that_cannot_be_listed_is_said(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("tightrope.rope.reading.validate.os.listdir", refuse)
    ran = run("validate", tmp_path)
    assert (ran.exit_code, ran.stderr) == (1, f"Error: {tmp_path}: cannot be read: Permission denied\n")


def test_fingerprints_go_on_past_a_file_that_cannot_be_read(folder):
    good = [folder / "a_good.json", folder / "z_good.json"]
    ran = run("fingerprint", good[0], *(folder / f"{one}.json" for one in BROKEN), good[1], "--json", folder / "found")
    assert ran.exit_code == 1
    results = json.loads((folder / "found").read_text())["results"]
    assert [one["source"] for one in results if one["fingerprint"]] == list(map(str, good))
    assert all(name in one["problem"] for name, one in zip(BROKEN, results[1:-1], strict=True))
