"""What an installation promises: light imports, a core without frameworks, whole wheels, a README that works."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from email import message_from_string
from importlib import metadata
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import tightrope
from paths import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = {"torch", "mlx", "mlx_lm", "transformers", "matplotlib", "plotly", "safetensors"}


def loaded_by(*arguments, path=()):
    """Return the names of all modules that `python ARGUMENTS` loads, in the order of loading."""
    search = [*map(str, path), *filter(None, [os.environ.get("PYTHONPATH")])]
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(search)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr.splitlines()[-1]
    return re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", ran.stderr, re.MULTILINE)


def heavy(modules):
    return {name.partition(".")[0] for name in modules} & HEAVY


@pytest.mark.parametrize("arguments", [["-c", "import tightrope"], ["-m", "tightrope", "--help"]], ids=" ".join)
def test_starting_loads_no_framework(arguments):
    loaded = loaded_by(*arguments)
    assert "tightrope" in loaded
    assert not heavy(loaded)


@pytest.mark.parametrize("name", sorted(HEAVY))
def test_a_framework_would_be_seen(name, tmp_path):
    (tmp_path / f"{name}.py").touch()
    assert heavy(loaded_by("-c", f"import tightrope, {name}", path=[tmp_path])) == {name}


# The package's own __init__ stays out of it: it loads the registry of backends, which the core must not.
IMPORT_CORE_ALONE = """
import importlib, pathlib, sys, types
root = pathlib.Path(sys.argv[1])
sys.modules["tightrope"] = package = types.ModuleType("tightrope")
package.__path__ = [str(root)]
for file in sorted(root.glob("rope/**/*.py")):
    parts = file.relative_to(root).with_suffix("").parts
    importlib.import_module(".".join(["tightrope", *parts]).removesuffix(".__init__"))
"""


def foreign_to_core(root, path=()):
    """Return what the modules under root/rope load besides themselves, numpy and the standard library."""
    loaded = loaded_by("-c", IMPORT_CORE_ALONE, str(root), path=path)
    own = ("tightrope.rope", *loaded_by("-c", "import numpy"), *sys.stdlib_module_names, "numpy")
    return {name for name in loaded if not any(name == known or name.startswith(f"{known}.") for known in own)}


def test_core_needs_only_numpy():
    assert foreign_to_core(ROOT) == set()


@pytest.mark.parametrize("foreign", ["stray_framework", "tightrope.backends", "tightrope.cli"])
def test_a_foreign_import_in_the_core_would_be_seen(foreign, tmp_path):
    for file in ("rope/__init__.py", "backends/__init__.py", "cli.py", "stray_framework.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / "rope" / "deep.py").write_text(f"import {foreign}\n")
    assert foreign_to_core(tmp_path, path=[tmp_path]) == {foreign}


def test_every_sub_package_is_listed():
    folders = {
        file.parent
        for top in ("backends", "commands", "rope", "verify", "viewing")
        for file in (ROOT / top).rglob("*.py")
    }
    packages = {".".join(["tightrope", *folder.relative_to(ROOT).parts]) for folder in folders}
    assert packages | {"tightrope"} == set(PYPROJECT["tool"]["setuptools"]["packages"])


def test_installed_version_is_the_packages_own():
    try:
        installed = metadata.version("tightrope")
    except metadata.PackageNotFoundError:
        pytest.skip("tightrope is on the path but not installed")
    assert installed == tightrope.__version__


def test_changelog_names_the_version():
    headings = re.findall("^## .*", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert any(tightrope.__version__ in heading.split() for heading in headings)


# No environment holds it beside what the tests need.
ALONE = ("vllm",)


def requirements():
    project = PYPROJECT["project"]
    lines = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    return [one for one in map(Requirement, lines) if one.name not in ("tightrope", *ALONE)]


@pytest.mark.parametrize("name", ALONE)
def test_what_pins_a_torch_of_its_own_is_part_of_no_other_extra(name):
    extras = {
        extra: [one for line in lines for one in (Requirement(line).name, *Requirement(line).extras)]
        for extra, lines in PYPROJECT["project"]["optional-dependencies"].items()
    }
    assert [extra for extra, names in extras.items() if name in names] == [name]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_tested_version_is_pinned_and_within_range(requirement):
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert Version(pins[requirement.name]) in requirement.specifier


@pytest.fixture(scope="module")
def describe(tmp_path_factory):
    """Return what a package says of itself where the repository has this address."""
    pytest.importorskip("setuptools")

    def metadata_at(address):
        root = tmp_path_factory.mktemp("described")
        for name in ("README.md", "setup.py", "LICENSE", "__init__.py"):
            shutil.copy(ROOT / name, root / name)
        project = (ROOT / "pyproject.toml").read_text().replace('address = ""', f'address = "{address}"')
        project = re.sub(r"packages = \[.*?\]", 'packages = ["tightrope"]', project, flags=re.DOTALL)
        (root / "pyproject.toml").write_text(project)
        command = "import setuptools.build_meta as b; b.prepare_metadata_for_build_wheel('.')"
        subprocess.run([sys.executable, "-c", command], cwd=root, check=True, capture_output=True)
        return message_from_string(next(root.glob("*.dist-info/METADATA")).read_text())

    return metadata_at


LINK = re.compile(r"\]\(([^)]+)\)")


def test_without_an_address_links_lead_into_the_source_archive(describe):
    found = describe("")
    assert found.get_all("Project-URL") is None
    text = found.get_payload()
    assert text == (ROOT / "README.md").read_text()
    assert {link for link in LINK.findall(text) if not (ROOT / link).exists()} == set()


def test_with_an_address_every_link_is_absolute(describe):
    found = describe("https://example.org/o/tightrope/")
    assert "Source, https://example.org/o/tightrope" in found.get_all("Project-URL")
    assert "Changelog, https://example.org/o/tightrope/blob/main/CHANGELOG.md" in found.get_all("Project-URL")
    links = LINK.findall(found.get_payload())
    assert "https://example.org/o/tightrope/blob/main/docs/tutorial.md" in links
    assert [link for link in links if not link.startswith("https://")] == []


def newcomer(readme):
    return subprocess.run(["bash", ROOT / ".ci" / "newcomer", readme], capture_output=True, text=True)


def test_readme_holds_the_two_lines_that_ci_runs():
    ran = newcomer(ROOT / "README.md")
    assert ran.returncode == 0, ran.stderr
    install = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt"
    assert ran.stdout.splitlines() == [
        f"{install} '.[torch,mlx]' && .venv/bin/tightrope parity",
        f"{install} -e '.[test]' && .venv/bin/pytest",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-c constraints.txt ", ""),
        ("bin/tightrope parity", "bin/tightrope bench"),
        ("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[test]'", ""),
    ],
    ids=["no constraints", "another command", "one line gone"],
)
def test_a_drifted_readme_would_be_seen(old, new, tmp_path):
    text = (ROOT / "README.md").read_text()
    assert old in text
    (tmp_path / "README.md").write_text(text.replace(old, new))
    assert newcomer(tmp_path / "README.md").returncode == 1
