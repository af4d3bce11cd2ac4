"""The C extension in other interpreters than the main one: it rotates where they share the GIL.

In one with a GIL of its own, which Python 3.12 makes by default, Python refuses the import in words.
"""

import subprocess
import sys

import pytest

from proofs.cpu.native_build import load_installed

pytestmark = pytest.mark.skipif(load_installed() is None, reason="the C kernel was not built")

# 90°: y1 = −x2, y2 = x1. Tensors are told as numbers, for no framework can be imported there.
INSIDE = """
import ctypes
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
loader = ExtensionFileLoader("_cpu", {path!r})
extension = module_from_spec(spec_from_loader("_cpu", loader))
loader.exec_module(extension)
def told(values, *shape):
    block = (ctypes.c_float * len(values))(*values)
    strides = [1]
    for size in shape[:0:-1]: strides.insert(0, strides[0] * size)
    return block, (ctypes.addressof(block), 0, shape, tuple(strides))
x, q = told([1, 2], 1, 1, 1, 2)
cos, c = told([0], 1, 1, 1)
sin, s = told([1], 1, 1, 1)
extension.rotate(0, 1, 0, False, 0, False, 2, (q,), (q,), c, s)
print(list(x), flush=True)
"""
OUTSIDE = """
import sys
import {module} as interpreters
for _ in range(3):
    interpreters.run_string(interpreters.create(), sys.argv[1])
exec(sys.argv[1])
"""


def test_it_rotates_in_interpreters_that_share_the_gil():
    module = next((name for name in ("_xxsubinterpreters", "_interpreters") if _has(name)), None)
    if module is None or sys.version_info >= (3, 12):
        pytest.skip("interpreters of this Python do not share the GIL by default")
    inside = INSIDE.format(path=load_installed().__file__)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OUTSIDE.format(module=module), inside], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["[-2.0, 1.0]"] * 4


def _has(name):
    from importlib.util import find_spec

    return find_spec(name) is not None
