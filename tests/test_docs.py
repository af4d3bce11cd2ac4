"""The documentation: it builds without a warning, every block in it runs, and no rope type is without a page."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tightrope.backends.parity import GALLERY
from tightrope.cli import main
from tightrope.rope.scaling import rope_types

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# sh: what a shell does outside Python, installing mostly; text: pictures of text. Neither is Tightrope's own code.
LANGUAGES = {"python", "console", "sh", "text"}
NEEDS = ("transformers", "mlx_lm")


def blocks(page):
    """Return (language, text, line) of every code block; directives of Sphinx have their name in braces."""
    text = page.read_text()
    found = [(match[1], match[2], text[: match.start()].count("\n") + 1) for match in FENCE.finditer(text)]
    return [block for block in found if not block[0].startswith("{")]


def of(language):
    pages = [page for page in PAGES if any(one[0] == language for one in blocks(page))]
    return [pytest.param(page, id=str(page.relative_to(DOCS))) for page in pages]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder as the pages take it for granted: it has Llama 3.1's config.json."""
    (tmp_path / "config.json").write_text(json.dumps(GALLERY["llama-3.1-8b"]))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(DOCS))) for page in PAGES])
def test_every_block_is_of_a_known_language(page):
    assert {language for language, _, _ in blocks(page)} <= LANGUAGES


@pytest.mark.backend("torch", "mlx")
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("page", of("python"))
def test_python_of_a_page_runs_from_top_to_bottom(page):
    for name in NEEDS:
        if name in page.read_text():
            pytest.importorskip(name)
    namespace = {"__name__": "docs"}
    for language, text, line in blocks(page):
        if language == "python":
            exec(compile("\n" * line + text, str(page), "exec"), namespace)


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("page", of("console"))
def test_commands_of_a_page_run(page):
    for language, text, _ in blocks(page):
        for line in re.findall(r"^\$ tightrope (.*)$", text, re.MULTILINE) if language == "console" else ():
            ran = CliRunner().invoke(main, shlex.split(line))
            assert ran.exit_code == 0, ran.output


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(DOCS))) for page in PAGES])
def test_commands_that_are_named_exist(page):
    named = re.findall(r"(?:`|^|\$ )tightrope ([a-z]+)\b", page.read_text(), re.MULTILINE)
    assert set(named) <= set(main.commands)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "rope" / "scaling").glob("*.py")))
def test_every_rope_type_has_a_page(name):
    if name in rope_types():
        assert (DOCS / "rope-types" / f"{name}.md").is_file()


@pytest.mark.backend("torch")
def test_documentation_builds_without_a_warning_and_fetches_nothing(tmp_path):
    for name in ("sphinx", "myst_parser", "furo", "matplotlib"):
        pytest.importorskip(name)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(tmp_path / "trees")]
    ran = subprocess.run([*command, str(DOCS), str(tmp_path / "html")], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    numerics = (tmp_path / "html" / "numerics.html").read_text()
    assert "<math" in numerics
    assert not re.search(r'<(?:script|link)[^>]*(?:src|href)="(?:https?:)?//', numerics)
