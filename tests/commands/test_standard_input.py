"""Configurations from standard input and from pipes: read once, whatever a command asks of them."""

import json
import os
import threading

import click
import pytest
from click.testing import CliRunner

import tightrope
from samples.cli_files import LLAMA, write
from tightrope.cli import main
from tightrope.rope.reading import source as reading


def run(*arguments, given=None):
    return CliRunner().invoke(main, list(map(str, arguments)), input=given)


@pytest.fixture
def pipe():
    """A function that returns the path of a pipe which holds some bytes."""
    opened = []

    def path(content):
        end, writing = os.pipe()
        opened.append(end)
        os.write(writing, content)
        os.close(writing)
        return f"/dev/fd/{end}"

    yield path
    for end in opened:
        os.close(end)


def commands(group, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


TAKING_ONE = {" ".join(path): one for path, one in commands(main) if any(p.name == "source" for p in one.params)}
OPTIONS = {
    "convert": ["--to", "v4"],
    "golden write": ["-o", os.devnull],
    "report": ["-o", os.devnull],
}


@pytest.mark.parametrize("name", sorted(TAKING_ONE))
def test_every_command_that_takes_one_configuration_reads_standard_input(name):
    # What is no configuration is refused before anything slow happens, by the name of where it came from.
    result = run(*name.split(), "-", *OPTIONS.get(name, []), given='["no configuration"]')
    assert "standard input: must hold a JSON object, got a list" in result.stderr


@pytest.mark.parametrize("command", [["inspect"], ["validate"], ["convert", "--to", "v5"], ["inspect", "--json", "-"]])
@pytest.mark.parametrize("way", ["standard input", "pipe"])
def test_a_pipe_gives_what_a_file_gives(tmp_path, pipe, command, way):
    content = json.dumps(LLAMA)
    source, given = ("-", content) if way == "standard input" else (pipe(content.encode()), None)
    expected = run(*command, write(tmp_path / "config.json", content))
    found = run(*command, source, given=given)
    name = way if way == "standard input" else source
    assert (found.exit_code, found.stdout) == (0, expected.stdout.replace(str(tmp_path / "config.json"), name))


def test_several_configurations_may_have_standard_input_among_them(tmp_path):
    result = run("validate", "-", write(tmp_path / "config.json", LLAMA), given=json.dumps({**LLAMA, "rope_theta": 0}))
    assert (result.exit_code, result.stdout) == (1, "standard input: rope_theta must be > 0, got 0\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b"GGUF" + bytes(100), "is a GGUF file, which is read neither from a pipe nor under a name in .json"),
        (b" " * 2000, "more than 1,000 bytes is no configuration (limit 1,000)"),
    ],
)
def test_what_a_pipe_cannot_be_is_one_line(monkeypatch, content, words):
    monkeypatch.setattr(reading, "MAX_BYTES", 1000)
    result = run("inspect", "-", given=content)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert f"Error: standard input: {words}" in result.stderr


def test_closed_standard_input_is_said(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(tightrope.RopeConfigError, match="standard input: is closed; pipe a config"):
        reading.kept("-")


def test_a_named_pipe_is_read_from_python(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(json.dumps(LLAMA),))
    writer.start()
    assert tightrope.read(path) == tightrope.read(LLAMA)
    writer.join()
