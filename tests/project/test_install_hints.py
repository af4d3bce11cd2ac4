"""What a missing package's message tells people to install: that package, never Tightrope from a package index."""

import json
import re
from importlib import metadata
from types import SimpleNamespace

import pytest

from paths import ROOT, source_files
from tightrope.rope.support import extras

DECLARED = [
    "numpy>=2.0",
    'torch>=2.8; extra == "torch"',
    'mlx>=0.32; sys_platform == "darwin" and extra == "mlx"',
    'mlx[cpu]>=0.32; sys_platform == "linux" and extra == "mlx"',
    'tightrope[mlx]; extra == "mlx-lm"',
    'mlx-lm>=0.32; extra == "mlx-lm"',
    'huggingface_hub>=0.34; extra == "hub"',
    'tightrope[hub,mlx-lm]; extra == "test"',
]


def installation(monkeypatch, platform="linux", present=()):
    """Let metadata be DECLARED, and these packages alone be installed."""

    def version(name):
        if name not in present:
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(extras.metadata, "requires", lambda name: DECLARED)
    monkeypatch.setattr(extras.metadata, "version", version)
    monkeypatch.setattr(extras.sys, "platform", platform)


@pytest.mark.parametrize(
    ("package", "platform", "present", "expected"),
    [
        ("numpy", "linux", (), '"numpy>=2.0"'),
        ("torch", "darwin", (), '"torch>=2.8"'),
        ("mlx", "darwin", (), '"mlx>=0.32"'),
        ("mlx", "linux", (), '"mlx[cpu]>=0.32"'),
        ("mlx", "win32", (), '"mlx"'),
        ("mlx_lm", "linux", ("mlx",), '"mlx-lm>=0.32"'),
        ("mlx-lm", "linux", (), '"mlx[cpu]>=0.32" "mlx-lm>=0.32"'),
        ("huggingface-hub", "linux", (), '"huggingface_hub>=0.34"'),
        ("kernels", "linux", (), '"kernels"'),
    ],
)
def test_a_package_is_named_with_the_range_of_the_metadata(monkeypatch, package, platform, present, expected):
    installation(monkeypatch, platform, present)
    assert extras.install_command(package) == f"python -m pip install {expected}"


def test_without_metadata_a_package_is_named_alone(monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(extras.metadata, "requires", requires)
    assert extras.install_command("plotly", upgrade=True) == 'python -m pip install --upgrade "plotly"'


AGAIN = "python -m pip install --no-cache-dir --force-reinstall --no-deps"
FOLDER = {"url": "file:///home/a%20b/tightrope", "dir_info": {}}
EDITABLE = {"url": "file:///src/tightrope", "dir_info": {"editable": True}}
WHEEL = {"url": "file:///src/tightrope.whl", "archive_info": {}}


@pytest.mark.parametrize(
    ("story", "folder", "command"),
    [
        (FOLDER, "/home/a b/tightrope", f"{AGAIN} '/home/a b/tightrope'"),
        (EDITABLE, "/src/tightrope", f"{AGAIN} -e /src/tightrope"),
        (WHEEL, "the checkout", f"in the checkout: {AGAIN} ."),
        (None, "the checkout", f"in the checkout: {AGAIN} ."),
    ],
    ids=["folder", "editable", "wheel", "unknown"],
)
def test_tightrope_is_installed_again_from_where_it_came(monkeypatch, story, folder, command):
    text = None if story is None else json.dumps(story)
    monkeypatch.setattr(extras.metadata, "distribution", lambda name: SimpleNamespace(read_text=lambda file: text))
    assert (extras.source_folder(), extras.reinstall_command()) == (folder, command)


OWN = re.compile(r"pip install [^|`]*[\"' ]tightrope([\"' \[`=]|$)", re.MULTILINE)


def test_nothing_tells_to_install_tightrope_from_a_package_index():
    """A folder is "." or a path; the wheel of a release is a file."""
    shown = [path for path in source_files() if path.suffix in {".py", ".md", ".ipynb", ".toml"}]
    shown = [path for path in shown if ROOT / "tests" not in path.parents]
    assert ROOT / "verify" / "doctor.py" in shown
    assert [str(path) for path in shown if OWN.search(path.read_text())] == []
