"""The documentation: it builds without a warning, every block in it runs, and no rope type is without a page."""

import ast
import json
import pkgutil
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from inspect import signature
from types import ModuleType

import click
import numpy as np
import pytest
from click.testing import CliRunner

import tightrope
from paths import ROOT
from tightrope.cli import main
from tightrope.rope import positions
from tightrope.rope.scaling import find_type, rope_types
from tightrope.verify.parity import GALLERY

DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# sh: installing, which .ci/run does; text: pictures of text. All else runs here.
LANGUAGES = {"python", "console", "sh", "text"}
NEEDS = ("transformers", "mlx_lm")
COMMANDS_NEED = {
    "model.gguf": "gguf",
    "audit model.gguf": "xllamacpp",
    "against mlx-lm": "mlx_lm",
    "--plot": "matplotlib",
    "tightrope report": "plotly",
    "tightrope golden": "safetensors",
}
MARKS = {"torch": "mx.", "mlx": "torch"}  # what a reader with that framework alone has no use for

FORM = json.loads((DOCS / "tightrope.schema.json").read_text())
TYPES = sorted(name for name in rope_types() if find_type(name).__module__.startswith("tightrope."))
EVERY_PAGE = pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(DOCS))) for page in PAGES])
EVERY_TYPE = pytest.mark.parametrize("name", TYPES)


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


@pytest.fixture
def gguf_file(tmp_path):
    """The header that llama.cpp's converter writes for that model, without its tensors of weights."""
    from samples import gguf_files

    llama = tightrope.read(GALLERY["llama-3.1-8b"]).rope()
    plain = llama.replace(scaling={"rope_type": "default"})
    divisors = tightrope.frequencies(plain).inv_freq / tightrope.frequencies(llama).inv_freq
    keys = {
        "block_count": 32, "embedding_length": 4096, "attention.head_count": 32, "attention.head_count_kv": 8,
        "context_length": 131072, "rope.freq_base": 5e5, "rope.dimension_count": 128,
    }  # fmt: skip
    gguf_files.write(tmp_path / "model.gguf", "llama", keys, {"rope_freqs": divisors.astype(np.float32)})


@EVERY_PAGE
def test_every_block_is_of_a_known_language(page):
    assert {language for language, _, _ in blocks(page)} <= LANGUAGES


@EVERY_PAGE
def test_no_block_is_overlooked(page):
    """Every line that can open or close a block, indented or of another kind too, belongs to a block that was found."""
    text = page.read_text()
    assert len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)) == 2 * len(FENCE.findall(text))
    assert not re.search(r"^(?: {4}|\t)\S", FENCE.sub("", text), re.MULTILINE)


@EVERY_PAGE
def test_a_shell_only_installs(page):
    lines = [line for language, text, _ in blocks(page) if language == "sh" for line in text.splitlines()]
    assert [line for line in lines if not line.startswith("pip install ")] == []


@EVERY_PAGE
def test_a_console_has_a_command_of_ours_and_no_other(page):
    for language, text, _ in blocks(page):
        if language == "console":
            commands = re.findall(r"^\$ .*$", text, re.MULTILINE)
            assert commands
            assert [line for line in commands if not line.startswith("$ tightrope ")] == []


@pytest.mark.backend("torch", "mlx")
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("page", of("python"))
def test_python_of_a_page_runs_from_top_to_bottom(page):
    for name in NEEDS:
        if name in page.read_text():
            pytest.importorskip(name)
    execute(page)


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.backend(name)) for name in MARKS])
def test_tutorial_can_be_followed_with_one_framework(name, monkeypatch):
    other = next(framework for framework in MARKS if framework != name)
    monkeypatch.setitem(sys.modules, f"tightrope.backends.{other}", None)
    assert execute(DOCS / "tutorial.md", without=MARKS[name]) > 4


def execute(page, without=None):
    """Run the Python of a page in one namespace, but for blocks with some text; return how many blocks ran."""
    namespace = {"__name__": "docs"}
    told = [(text, line) for language, text, line in blocks(page) if language == "python"]
    wanted = [(text, line) for text, line in told if without is None or without not in text]
    for text, line in wanted:
        exec(compile("\n" * line + text, str(page), "exec"), namespace)
    return len(wanted)


@pytest.mark.backend("torch", "mlx")
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("page", of("console"))
def test_commands_of_a_page_run(page, request):
    for words, name in COMMANDS_NEED.items():
        if words in page.read_text():
            pytest.importorskip(name)
    if "model.gguf" in page.read_text():
        request.getfixturevalue("gguf_file")
    for language, text, _ in blocks(page):
        for line in re.findall(r"^\$ tightrope (.*)$", text, re.MULTILINE) if language == "console" else ():
            ran = CliRunner().invoke(main, shlex.split(line))
            assert ran.exit_code == 0, ran.output


@EVERY_PAGE
def test_commands_that_are_named_exist(page):
    named = re.findall(r"(?:`|^|\$ )tightrope ([a-z]+)\b", page.read_text(), re.MULTILINE)
    assert set(named) <= set(main.commands)


@EVERY_PAGE
def test_options_that_are_named_exist(page):
    others = r"^(python tests/|mlx_lm\.|hf ).*$"  # scripts and other programs have options of their own
    text = re.sub(others, "", page.read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= options(main)


def options(command):
    below = command.commands.values() if isinstance(command, click.Group) else ()
    own = {name for parameter in command.params for name in parameter.opts}
    return own.union(*map(options, below))


@pytest.mark.parametrize("command", sorted(FORM["properties"]["command"]["enum"]))
def test_the_page_of_json_lists_every_field_of_a_command(command):
    told = (DOCS / "json.md").read_text().partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    defined = FORM["$defs"][command.replace(" ", "_")]
    kinds = defined.get("anyOf", [defined])
    assert re.findall(r"^\| `(\w+)` \|", told, re.MULTILINE) == [name for kind in kinds for name in kind["properties"]]


@pytest.mark.parametrize("module", [tightrope, positions], ids=lambda module: module.__name__)
def test_reference_has_every_public_name(module):
    text = (DOCS / "reference.md").read_text()
    named = set(re.findall(rf"^\.\. auto\w+:: {re.escape(module.__name__)}\.(\w+)$", text, re.MULTILINE))
    public = {name for name in module.__all__ if not isinstance(getattr(module, name), ModuleType)}
    assert {name for name in public if not name.startswith("__")} - named == set()


SIGNATURE = re.compile(r"^\.\. auto\w+:: (tightrope\.backends\.(\w+)\.[\w.]+)(\(.*\))(?: -> .*)?$", re.MULTILINE)


@pytest.mark.backend("torch", "mlx")
@pytest.mark.parametrize("backend", ["torch", "mlx"])
def test_signatures_in_the_reference_are_those_of_the_code(backend):
    """Where the code has overloads, the page writes one signature with all types."""
    found = {name: text for name, of, text in SIGNATURE.findall((DOCS / "reference.md").read_text()) if of == backend}
    assert len(found) == {"torch": 4, "mlx": 3}[backend]
    for name, text in found.items():
        written = ast.parse(f"def f{text}: ...").body[0].args
        names = [one.arg for one in [*written.args, *written.kwonlyargs]]
        given = {one.arg: ast.literal_eval(default) for one, default in defaults(written) if default is not None}
        parameters = signature(pkgutil.resolve_name(name)).parameters.values()
        parameters = [one for one in parameters if one.name not in ("self", "misnamed")]
        assert names == [one.name for one in parameters]
        wanted = {one.name: one.default for one in parameters if one.default is not one.empty and one.name != "model"}
        assert given == wanted


def defaults(arguments):
    """Yield each argument of a function with the node of its default, or None."""
    missing = [None] * (len(arguments.args) - len(arguments.defaults))
    yield from zip(arguments.args, [*missing, *arguments.defaults], strict=True)
    yield from zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_paths_on_the_map_exist(name):
    """A path has a slash, in backquotes or as the target of a link; `*` stands for several."""
    text = FENCE.sub("", (ROOT / name).read_text())
    named = set(re.findall(r"`([\w.*-]+/[\w./*-]*)`", text))
    linked = set(re.findall(r"\]\(([\w./-]+)\)", text))
    assert len(named) > 8
    assert {path for path in named if not any(ROOT.glob(path.rstrip("/")))} == set()
    assert {path for path in linked if not (ROOT / name).parent.joinpath(path).exists()} == set()


@EVERY_TYPE
def test_page_of_a_rope_type_has_formula_picture_and_source(name):
    text = (DOCS / "rope-types" / f"{name}.md").read_text()
    assert "$$" in text
    assert f"../_build/pictures/{name}.png" in text
    assert re.search(r"^Source: \S", text, re.MULTILINE)


@EVERY_TYPE
def test_page_of_a_rope_type_names_its_parameters(name):
    (line,) = re.findall(r"^Parameters: (.*)$", (DOCS / "rope-types" / f"{name}.md").read_text(), re.MULTILINE)
    explained = {"max_position_embeddings"}  # of the configuration, not of the rope
    assert set(re.findall(r"`(\w+)`", line)) - explained == parameters(name)


def test_readme_lists_every_rope_type_with_its_parameters():
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*)\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    listed = {name: set(re.findall(r"`(\w+)`", words)) for name, words in rows}
    assert listed == {name: parameters(name) for name in TYPES}


def parameters(name):
    return {field.name for field in fields(find_type(name))}


@pytest.mark.backend("torch")
def test_errors_in_the_numerics_are_those_that_the_tool_measures():
    ran = CliRunner().invoke(main, ["precision", "--backends", "torch:cpu", "--json", "-"])
    measured = json.loads(ran.stdout)["results"][0]["errors"]["torch:cpu"]
    shown = rows_of((DOCS / "numerics.md").read_text(), "as `tightrope precision` prints it:\n\n")
    assert [f"{position:.0f}" for position in shown] == list(measured)
    for position, errors in shown.items():
        # cos and sin may differ by 1e-7 on another processor; two printed digits are good to 5 %.
        expected = [measured[f"{position:.0f}"][precision] for precision in ("float32", "exact")]
        assert errors == pytest.approx(expected, abs=2e-7, rel=0.05)


def rows_of(text, above):
    """Return a table of figures: position → the other columns."""
    lines = text.partition(above)[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[float(cell.replace(",", "")) for cell in line.strip("| ").split("|")] for line in lines if line[0] == "|"]
    return {first: tuple(others) for first, *others in cells}


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


def test_each_promise_of_hardness_names_a_test_that_is_there():
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (DOCS / "hardness.md").read_text())
    assert len(named) > 20
    assert [name for file, name in named if f"def {name}(" not in (ROOT / "tests" / file).read_text()] == []
