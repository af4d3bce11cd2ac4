"""What is built: a wheel says where it runs, with and without the C kernel, and an sdist holds what its tests need."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

from paths import ROOT, source_files

pytest.importorskip("setuptools", minversion="77", reason="builds need setuptools 77 or newer")

# A compiler that writes what it is told to, in no time; what is in there is not looked at.
STUB = """#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = -o ] && : > "$2"; shift; done
"""
# Told by this variable, the build takes its Python for a free-threaded one.
BUILD = """
import os, sys, sysconfig
import setuptools.build_meta as backend
if os.environ.get("FREE_THREADED"):
    known = sysconfig.get_config_var
    sysconfig.get_config_var = lambda name: 1 if name == "Py_GIL_DISABLED" else known(name)
print(getattr(backend, sys.argv[1])(sys.argv[2]))
"""
NOT_FOR_BUILDS = (".github/", ".gitignore", ".pre-commit-config.yaml")


@pytest.fixture
def build(tmp_path):
    """Return a function that builds from a copy of the tracked files, and returns the path of what it built."""
    source, stub = tmp_path / "source", tmp_path / "stub-cc"
    for path in source_files():
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    stub.write_text(STUB)
    stub.chmod(0o755)

    def built(what, compiler=str(stub), **environment):
        command = [sys.executable, "-W", "ignore", "-c", BUILD, f"build_{what}", str(tmp_path)]
        found = {"CC": compiler, "LDSHARED": f"{compiler} -shared"} | environment
        ran = subprocess.run(command, cwd=source, env=os.environ | found, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr[-2000:]
        return tmp_path / ran.stdout.splitlines()[-1]

    return built


def kernel_in(wheel):
    return [name for name in zipfile.ZipFile(wheel).namelist() if "/_cpu." in name]


def test_without_a_compiler_the_wheel_runs_everywhere(build):
    wheel = build("wheel", compiler="false")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not kernel_in(wheel)
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if ".data/" in name]


def test_with_a_compiler_the_wheel_serves_every_later_python_of_its_platform(build):
    wheel = build("wheel")
    assert "-cp311-abi3-" in wheel.name
    assert kernel_in(wheel) == ["tightrope/backends/kernels/_cpu.abi3.so"]


def test_a_free_threaded_python_gets_a_wheel_of_its_own(build):
    wheel = build("wheel", FREE_THREADED="1")
    here = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert f"-{here}-{here}" in wheel.name
    assert ".abi3." not in kernel_in(wheel)[0]


def test_the_sdist_holds_everything_that_is_tracked(build):
    with tarfile.open(build("sdist")) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = [path.relative_to(ROOT).as_posix() for path in source_files()]
    assert [name for name in wanted if name not in names and not name.startswith(NOT_FOR_BUILDS)] == []
