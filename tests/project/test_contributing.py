"""The papers for who carries it on: following them alone works, and machines accept what is written for machines."""

import re
import shutil
import subprocess
import sys

import pytest

from paths import ROOT
from tightrope.cli import main

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = [path for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if path.stem != "config"]
PAPERS = [ROOT / "CONTRIBUTING.md", ROOT / "RELEASING.md", *WORKFLOWS, *FORMS]


def block_after(heading):
    """Return the first Python block below a heading of CONTRIBUTING."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## )", CONTRIBUTING, re.MULTILINE | re.DOTALL)
    return re.search(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture
def scratch(tmp_path):
    """A copy of the package, to be changed; returns a function that runs Python with it."""
    package = tmp_path / "tightrope"
    kept = ("__init__.py", "rope", "backends")
    package.mkdir()
    for name in kept:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, package / name)

    def run(script):
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{script}"]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    run.package = package
    return run


def test_a_rope_type_is_one_file(scratch):
    text = block_after("A rope type: one file")
    path = text.splitlines()[0].removeprefix("# ")
    (scratch.package / path).write_text(text.partition("\n")[2])
    ran = scratch("""
import tightrope
config = {"model_type": "llama", "head_dim": 64}
halved = tightrope.read({**config, "rope_scaling": {"rope_type": "halved", "divisor": 4.0}})
plain = tightrope.read(config)
ratio = tightrope.frequencies(plain.rope()).inv_freq / tightrope.frequencies(halved.rope()).inv_freq
assert halved.to_hf("v5")["rope_parameters"]["divisor"] == 4.0
print(set(ratio.tolist()))
""")
    assert ran.stdout == "{4.0}\n", ran.stderr


def test_a_family_is_one_line(scratch):
    table = scratch.package / "rope" / "reading" / "families" / "text.py"
    line = block_after("A family: one line")
    assert len(line.splitlines()) == 1
    start = "FAMILIES: dict[str, Family] = {\n"
    assert start in table.read_text()
    table.write_text(table.read_text().replace(start, start + line))
    ran = scratch("""
import tightrope
model = tightrope.read({"model_type": "tinylm", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2})
print(model.rope().base, model.rope().layout)
""")
    assert ran.stdout == "50000.0 interleaved\n", ran.stderr


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: path.name)
def test_commands_that_are_named_exist(paper):
    named = re.findall(r"(?:`|^|&& |run: )tightrope ([a-z]+)\b", paper.read_text(), re.MULTILINE)
    assert set(named) <= set(main.commands)


@pytest.mark.parametrize("paper", [ROOT / "docs" / "architecture.md", *PAPERS[:2]], ids=lambda path: path.name)
def test_files_that_are_named_exist(paper):
    named = re.findall(r"`((?:\.?\w+/)+[\w.-]*|\.?[\w-]+\.(?:md|txt|toml|py))`", paper.read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_pre_commit_has_the_ruff_that_is_tested():
    pinned = re.search(r"^ruff==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    assert f"ruff-pre-commit\n    rev: v{pinned}\n" in (ROOT / ".pre-commit-config.yaml").read_text()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_say_that_they_have_not_run(workflow):
    assert workflow.read_text().startswith("# Not yet run")


def check_schema(schema, files):
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True)


def test_workflows_fit_githubs_schema():
    ran = check_schema("vendor.github-workflows", WORKFLOWS)
    assert ran.returncode == 0, ran.stdout


def test_issue_forms_fit_githubs_schema():
    ran = check_schema("vendor.github-issue-forms", FORMS)
    assert ran.returncode == 0, ran.stdout


def test_the_choice_of_issue_forms_fits_githubs_schema():
    ran = check_schema("vendor.github-issue-config", [ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"])
    assert ran.returncode == 0, ran.stdout


def test_a_broken_workflow_would_be_seen(tmp_path):
    broken = WORKFLOWS[0].read_text().replace("runs-on:", "runs-at:")
    (tmp_path / "broken.yml").write_text(broken)
    assert check_schema("vendor.github-workflows", [tmp_path / "broken.yml"]).returncode != 0
