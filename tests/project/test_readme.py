"""README.md keeps its promises: every block in it runs, and prints what stands there."""

import json
import re
import shlex
import shutil
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
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from models import pairs

    (tmp_path / "config.json").write_text(json.dumps(GALLERY["llama-3.1-8b"]))
    broken = {**GALLERY["llama-3.1-8b"], "num_hidden_layers": "two", "rope_scaling": {"rope_type": "yran"}}
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    shutil.copytree(pairs.pair("llama3.1").folder, tmp_path / "path" / "to" / "model")
    monkeypatch.chdir(tmp_path)


def test_every_block_is_of_a_kind_that_is_tested():
    assert {block.language for block in blocks()} == {"python", "sh", "console", "text"}


def test_three_recipes_come_first_each_with_what_it_prints():
    recipes = blocks()[:5]
    assert [block.language for block in recipes] == ["console", "python", "text", "python", "text"]
    assert recipes[-1].line < LINES.index("## Set up") < 50


@pytest.mark.parametrize("block", of("sh"))
def test_the_only_shell_lines_are_those_that_ci_runs(block):
    assert block.text.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt ")


def test_a_user_installs_a_copy_and_a_developer_the_checkout():
    user, developer = [block.text for block in blocks() if block.language == "sh"]
    assert " -e " not in user
    assert " -e " in developer


@pytest.mark.backend("torch", "mlx")
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("block", of("python"))
def test_python_prints_what_stands_below(block, capsys):
    for name in ("transformers", "mlx_lm"):
        pytest.importorskip(name, exc_type=ImportError)
    exec(compile(block.text, f"README.md:{block.line}", "exec"), {"__name__": "readme"})
    following = next((one for one in blocks() if one.line > block.line), None)
    if following is not None and following.language == "text":
        assert in_outline(capsys.readouterr().out) == in_outline(following.text)


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


MEASURING = ("parity", "precision", "bench", "audit")  # their figures differ from processor to processor


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
