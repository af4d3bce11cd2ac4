"""The heavy tools of the proofs: looked for, and where one is missing the tests say which."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from proofs.gpu.static_facts import TARGETS

TESTS = Path(__file__).resolve().parents[1]


def module(name):
    """Return a mark that skips where a module is not installed."""
    return pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed")


def targets():
    """Return the GPU targets to compile for: those that TIGHTROPE_TARGETS names, "all" for every one; else sm_90."""
    chosen = os.environ.get("TIGHTROPE_TARGETS", "sm_90")
    return list(TARGETS) if chosen == "all" else chosen.split()


def run_python(module_name, *arguments, folder):
    """Run a module of the tests in a process of its own; return its lines, each a JSON list, and its exit status."""
    paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    ran = subprocess.run(
        [sys.executable, "-m", module_name, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "TRITON_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr if ran.returncode else ""
