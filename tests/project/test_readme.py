"""README.md keeps its promises: every block in it runs, and prints what stands there."""

import json
import re
import shlex
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from paths import README
from tightrope.cli import main
from tightrope.verify.parity import GALLERY

LINES = README.read_text().splitlines()


@dataclass(frozen=True)
class Block:
    language: str
    line: int
    text: str


def blocks():
    found, start = [], None
    for number, line in enumerate(LINES, 1):
        if line.startswith("```") and start is None:
            start = number
        elif line == "```":
            found.append(Block(LINES[start - 1].removeprefix("```"), start, "\n".join(LINES[start : number - 1])))
            start = None
    return found


def of(language):
    return [pytest.param(block, id=f"line {block.line}") for block in blocks() if block.language == language]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder as the README takes it for granted: Llama 3.1's config.json, and a broken one."""
    (tmp_path / "config.json").write_text(json.dumps(GALLERY["llama-3.1-8b"]))
    broken = {**GALLERY["llama-3.1-8b"], "num_hidden_layers": "two", "rope_scaling": {"rope_type": "yran"}}
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    monkeypatch.chdir(tmp_path)


def test_every_block_is_of_a_kind_that_is_tested():
    assert {block.language for block in blocks()} == {"python", "sh", "console"}


def test_an_example_ends_by_line_10_and_the_installation_stands_by_line_25():
    example = blocks()[0]
    assert example.language == "python"
    assert example.line + len(example.text.splitlines()) + 1 <= 10
    assert sum("pip install" in line for line in LINES[:25]) == 2


@pytest.mark.parametrize("block", of("sh"))
def test_the_only_shell_lines_are_those_that_ci_runs(block):
    assert block.text.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e ")


@pytest.mark.backend("torch", "mlx")
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("block", of("python"))
def test_python_runs(block):
    exec(compile(block.text, f"README.md:{block.line}", "exec"), {"__name__": "readme"})


def test_every_command_is_listed():
    rows = [line for line in LINES if line.startswith("| `tightrope ")]
    assert {name for row in rows for name in re.findall(r"`tightrope (\w+)", row)} == set(main.commands)


def commands(text):
    """Yield each command line of a console block with what stands below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, printed = part.partition("\n")
        yield line, printed


# Also the unit of a time, which may change with it, and which code serves here.
FIGURE = re.compile(r"identical|\d\.\de-\d+ \d\S*|\d[\d.,]* [mµ]s|C \(\w+\)|framework operations|\d[\d.,]*")


def in_outline(text):
    """Lines with every figure masked and columns closed up."""
    return [" ".join(FIGURE.sub("#", line).split()) for line in text.splitlines()]


MEASURING = ("parity", "precision", "bench")  # their figures differ from processor to processor


def follows(expected, actual):
    """Are these lines among the actual ones, in this order and without gaps but for …?"""
    pattern = "\n".join(".*" if line == "…" else re.escape(line) for line in expected)
    return re.fullmatch(pattern, "\n".join(actual), re.DOTALL)


@pytest.mark.backend("torch", "mlx")
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("block", of("console"))
def test_commands_print_what_stands_there(block):
    for line, expected in commands(block.text):
        program, *arguments = shlex.split(line)
        assert program == "tightrope"
        actual = CliRunner().invoke(main, arguments)
        assert actual.exception is None or isinstance(actual.exception, SystemExit)
        outline = in_outline if arguments[0] in MEASURING else str.splitlines
        assert follows(outline(expected), outline(actual.output)), actual.output


def figures(table):
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    return [float(cell) for row in rows for cell in row.replace(",", "").strip("|").split("|")]


@pytest.mark.backend("torch", "mlx")
def test_the_measured_table_is_what_the_tool_measures():
    shown = [printed for block in blocks() for line, printed in commands(block.text) if line == "tightrope precision"]
    measured = figures(CliRunner().invoke(main, ["precision"]).output)
    # cos and sin may differ by 1e-7 on either processor; two printed digits are good to 5 %.
    assert figures(*shown) == pytest.approx(measured, abs=2e-7, rel=0.05)
