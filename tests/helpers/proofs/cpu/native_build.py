"""The C kernel compiled anew from its text: with a mistake in it, with checks, or for another processor."""

import shutil
import subprocess
import sysconfig
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest

from paths import ROOT
from tightrope.backends.kernels import load_cpu as load_installed

__all__ = ["SOURCES", "Build", "compiler", "load", "load_installed", "needs_compiler", "program"]

TEXTS = ROOT / "backends" / "kernels" / "cpu"
SOURCES = ("module", "view", "threads", "avx512bf16", "avx512", "avx2", "neon")


def program(*names):
    """Return (path of the first program that is installed or None, a mark that skips where none is)."""
    path = next(filter(None, map(shutil.which, names)), None)
    return path, pytest.mark.skipif(path is None, reason=f"none of {', '.join(names)} is installed")


compiler, needs_compiler = program("cc", "gcc", "clang")


class Build:
    """A folder with the texts and what was compiled from them."""

    def __init__(self, folder, flags=("-O1",)):
        self.folder, self.flags = folder, flags
        for text in [*TEXTS.glob("*.c"), *TEXTS.glob("*.h")]:
            shutil.copy(text, folder)

    def compile(self, *names):
        """Compile these sources."""
        include = f"-I{sysconfig.get_path('include')}"
        for name in names:
            command = [compiler, *self.flags, "-ffp-contract=off", "-fPIC", include, "-c", f"{name}.c"]
            subprocess.run([*command, "-o", f"{name}.o"], cwd=self.folder, check=True, capture_output=True)

    def link(self, name="_cpu.so"):
        """Return the path of the extension made of what was compiled."""
        objects = [f"{source}.o" for source in SOURCES]
        command = [compiler, *self.flags, "-shared", "-pthread", *objects, "-o", name]
        if sysconfig.get_platform().startswith("macosx"):
            command[1:1] = ["-undefined", "dynamic_lookup"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
        return self.folder / name


def load(path):
    """Return the extension at that path as a module."""
    loader = ExtensionFileLoader("_cpu", str(path))
    module = module_from_spec(spec_from_loader("_cpu", loader))
    loader.exec_module(module)
    return module
