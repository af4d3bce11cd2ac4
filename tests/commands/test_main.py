"""The command line as a whole: help, version, errors."""

import click
import pytest
from click.testing import CliRunner

import tightrope
from samples.cli_files import LLAMA, write
from tightrope.cli import main

COMMANDS = sorted(main.commands)


def leaves(group, path=()):
    """Yield the words of every command, those of groups of commands included."""
    for name, command in group.commands.items():
        yield from leaves(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]


def options(command):
    return {name for parameter in command.params for name in parameter.opts}


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def test_version():
    assert run("--version").stdout == f"tightrope, version {tightrope.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_each_command_with_a_whole_sentence(name):
    line = next(line for line in run("--help").stdout.splitlines() if line.split()[:1] == [name])
    assert not line.endswith("...")


@pytest.mark.parametrize("words", [*leaves(main)], ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_each_command_explains_itself_with_an_example(words, option):
    ran = run(*words, option)
    assert ran.exit_code == 0
    assert f"  tightrope {' '.join(words)}" in ran.stdout.partition("Examples:")[2]


def test_an_unknown_command_is_wrong_usage():
    assert run("paritee").exit_code == 2


@pytest.mark.parametrize("name", [name for name in COMMANDS if "--plot" in options(main.commands[name])])
def test_a_picture_of_an_unknown_kind_is_refused_before_any_work(name):
    ran = run(name, "missing.json", "--plot", "out.bmp")
    assert ran.exit_code == 2
    assert "must end in .png, .svg, .pdf, got 'out.bmp'" in ran.stderr


@pytest.mark.parametrize(
    "words",
    ["inspect x", "parity x", "precision x", "report x -o y", "bench x", "audit x", "golden check x", "selftest"],
)
def test_a_folder_that_is_missing_is_told_before_any_work(words):
    ran = run(*words.split(), "--json", "none/found.json")
    assert ran.exit_code == 1
    assert ran.output == "Error: Could not open file 'none/found.json': No such file or directory\n"


@pytest.mark.parametrize(
    "words",
    ["inspect x", "parity x", "precision x", "report x -o y", "convert x --to v4", "golden write x -o y"],
)
def test_naming_a_rope_needs_another_in_its_place(words):
    ran = run(*words.split(), "--layer-type", "full_attention")
    assert ran.exit_code == 2
    assert "--layer-type needs --rope" in ran.stderr


@pytest.mark.parametrize("words", [["inspect", "--json"], ["validate", "--json"], ["parity", "--junit"]], ids=" ".join)
def test_a_folder_in_place_of_a_file_is_told_before_any_work(tmp_path, words):
    result = run(*words, str(tmp_path), str(write(tmp_path / "config.json", LLAMA)))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is a directory" in result.stderr


def test_an_error_is_one_line_without_a_traceback(tmp_path):
    ran = run("inspect", str(tmp_path / "missing.json"))
    assert ran.exit_code == 1
    reason = "no such file; give the path of a config.json or of its folder"
    assert ran.stderr == f"Error: {tmp_path / 'missing.json'}: {reason}\n"


def test_traceback_shows_where_an_error_comes_from(tmp_path):
    ran = run("--traceback", "inspect", str(tmp_path / "missing.json"))
    assert isinstance(ran.exception, tightrope.RopeConfigError)
