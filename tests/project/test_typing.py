"""Type checkers see the call as it is: what is right passes, what is wrong is reported, however Tightrope is installed.

Two installations that checkers can follow: a wheel, and the editable one that README names (`editable_mode=strict`).
"""

import inspect
import os
import re
import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec

import pytest
import setuptools
from packaging.version import Version

from paths import README, ROOT

USES = ROOT / "tests" / "project" / "typed_uses.py"
WRONG = {number for number, line in enumerate(USES.read_text().splitlines(), 1) if line.endswith("# wrong")}
STRICT = "editable_mode=strict"
INSTALLATIONS = {"wheel": ["."], "editable": ["--editable", ".", "--config-settings", STRICT]}
# Without its C kernel a wheel is built faster; a strict editable installation links the kernel, and needs it.
COMPILER = {"wheel": {"CC": "false"}, "editable": {}}
CHECKERS = {
    "pyright": lambda python: ["pyright", "--pythonpath", python, USES.name],
    "mypy": lambda python: ["mypy", "--strict", "--python-executable", python, USES.name],
}


@pytest.fixture(scope="module", params=INSTALLATIONS)
def installation(request, tmp_path_factory):
    """A Python that has Tightrope installed in this form, and everything else from the Python that runs the tests."""
    if Version(setuptools.__version__) < Version("77"):
        pytest.skip(f"setuptools {setuptools.__version__} cannot build Tightrope, which needs 77")
    folder = tmp_path_factory.mktemp(request.param)
    sources = folder / "sources"
    if request.param == "editable" and not shutil.which("cc"):
        pytest.skip("a strict editable installation needs a C compiler")
    ignored = shutil.ignore_patterns(".*", "build", "dist", "tests", "docs", "examples", "*.egg-info", "*.so")
    shutil.copytree(ROOT, sources, ignore=ignored)
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--force-reinstall"]
    ran = subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, *install, *INSTALLATIONS[request.param]],
        cwd=sources, env=os.environ | COMPILER[request.param], capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return python


def reported(checker, python, folder):
    """Return the lines of a copy of `USES` in which a checker reports an error."""
    shutil.copy(USES, folder)
    command = [sys.executable, "-m", *CHECKERS[checker](str(python))]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    errors = re.findall(rf"{USES.name}:(\d+):(?:\d+)?:? (?:- )?error: (.*)", ran.stdout)
    assert not any("could not be resolved" in message for _, message in errors), ran.stdout
    return {int(number) for number, _ in errors}, ran.stdout + ran.stderr


@pytest.mark.backend("torch", "mlx")
def test_an_editor_finds_nothing_wrong_in_readme(installation, tmp_path):
    if find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    names = [f"block_{number}.py" for number, _ in enumerate(blocks)]
    for name, block in zip(names, blocks, strict=True):
        (tmp_path / name).write_text(block)
    command = [sys.executable, "-m", "pyright", "--pythonpath", installation, *names]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.backend("torch", "mlx")
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_checker_reports_what_is_wrong_and_nothing_else(installation, checker, tmp_path):
    if find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    lines, output = reported(checker, installation, tmp_path)
    assert lines == WRONG, output


def test_readme_names_the_editable_installation_that_checkers_follow():
    assert f"--config-settings {STRICT}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ["positions", "offset", "angles", "seq_len", "layer_type", "order"])
def test_a_module_shows_the_signature_of_its_call(backend, name):
    signature = inspect.signature(backend.RotaryEmbedding.__call__)
    assert signature.parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
    assert list(signature.parameters)[:3] == ["self", "q", "k"]


@pytest.mark.parametrize("name", ["model", "precision", "policy", "switch"])
def test_a_module_shows_the_signature_of_its_making(backend, name):
    assert name in inspect.signature(backend.RotaryEmbedding).parameters


@pytest.mark.parametrize("name", ["model", "precision", "policy", "switch"])
def test_help_explains_how_a_module_is_made(backend, name):
    text = inspect.getdoc(backend.RotaryEmbedding)
    assert re.search(rf"^    {name}: \S.+", text, re.MULTILINE)
    assert f"`{name}`" not in text
    assert "see `tightrope" not in text.lower()


def test_both_backends_explain_it_in_the_same_words(backend):
    import tightrope

    def arguments(name):
        return inspect.getdoc(tightrope.load_backend(name).RotaryEmbedding).partition("Args:")[2]

    assert arguments("torch") == arguments("mlx")
