"""Compile the text of a Metal kernel as C++ and run it over a grid."""

import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
# The oldest that have the half floats of this text.
_OLDEST = {"clang++": 16, "g++": 12}
NO_COMPILER = "no C++ compiler is installed that is new enough: clang 16 or g++ 12"


def _compilers():
    """Return the paths of the compilers to use: clang knows address spaces; g++ checks everything else."""
    for name in ("clang++-19", "clang++", "g++"):
        path = shutil.which(name)
        if path is None:
            continue
        version = (
            subprocess.run([path, "-dumpversion"], capture_output=True, text=True).stdout.partition(".")[0].strip()
        )
        # On macOS g++ is clang by another name.
        if version.isdecimal() and int(version) >= _OLDEST[name.partition("-")[0]]:
            yield path


COMPILERS = list(_compilers())

_FLAGS = (
    "-std=c++17 -O1 -fPIC -shared -march=haswell -ffp-contract=off -fsanitize=undefined "
    "-Wall -Wextra -Werror -Wdouble-promotion -Wno-attributes -Wno-unused-parameter"
)
_GCC_FLAGS = "-fsanitize-undefined-trap-on-error"
_CLANG_FLAGS = (
    "-fsanitize-trap=all -Wno-unknown-attributes -Wimplicit-float-conversion -Wconditional-uninitialized "
    "-Wno-c++20-extensions"
)
# What MLX writes before a kernel's text (metal::utils).
_MLX_TYPES = "typedef bfloat bfloat16_t; typedef half float16_t;"
_ATTRIBUTES = {"thread_position_in_grid": "uint3{x, y, z}", "threads_per_grid": "uint3{width, height, depth}"}


class RejectedError(Exception):
    """The text is no kernel: what the compiler, or the check of its signature, says."""


@cache
def compile_kernel(text, compiler):
    """Return a function (buffers, grid) → None that runs the text's only kernel.

    Buffers are addresses, by the names of the kernel's parameters.
    """
    name, parameters = _signature(text)
    library = ctypes.CDLL(str(_built(text + _driver(name, parameters), compiler)))
    buffers = [parameter for _, parameter, attribute in parameters if attribute not in _ATTRIBUTES]

    def run(addresses, grid):
        library.run((ctypes.c_void_p * len(buffers))(*(addresses[name] for name in buffers)), *grid)

    return run


def _signature(text):
    """Return the kernel's name and its parameters: (type, name, attribute)."""
    name, inside = re.search(r"(?:\[\[kernel\]\]|\bkernel)\s+void\s+(\w+)\s*\((.*?)\)\s*\{", text, re.DOTALL).groups()
    parameters = [_parameter(declaration.strip()) for declaration in re.split(r",\s*\n", inside)]
    numbers = [attribute for *_, attribute in parameters if attribute not in _ATTRIBUTES]
    if numbers != [f"buffer({i})" for i in range(len(numbers))]:
        raise RejectedError(f"attributes {numbers}")
    return name, parameters


def _parameter(declaration):
    match = re.fullmatch(r"(.*?)(\w+)\s*\[\[(.*?)\]\]", declaration, re.DOTALL)
    if not match:
        raise RejectedError(f"parameter {declaration!r}")
    return tuple(part.strip() for part in match.groups())


def _driver(name, parameters):
    arguments, buffers = [], 0
    for kind, _, attribute in parameters:
        if attribute in _ATTRIBUTES:
            arguments.append(_ATTRIBUTES[attribute])
        else:
            dereferenced = "*" if kind.endswith("&") else ""
            arguments.append(f"{dereferenced}({kind.rstrip('&* ')}*)buffers[{buffers}]")
            buffers += 1
    # Backwards, which no device promises either.
    return f"""
extern "C" void run(void** buffers, uint width, uint height, uint depth) {{
  for (uint z = depth; z-- > 0;) for (uint y = height; y-- > 0;) for (uint x = width; x-- > 0;)
    {name}({", ".join(arguments)});
}}
"""


def _built(text, compiler):
    source = f'#include "{HERE}/metal_stdlib"\n{_MLX_TYPES}\nnamespace metal {{}}\nusing namespace metal;\n{text}'
    flags = [*_FLAGS.split(), f"-I{HERE}", *(_CLANG_FLAGS if "clang" in compiler else _GCC_FLAGS).split()]
    stem = hashlib.sha256("\n".join([source, compiler, *flags]).encode()).hexdigest()[:16]
    library = Path(_folder().name) / f"{stem}.so"
    file = library.with_suffix(".cpp")
    file.write_text(source)
    ran = subprocess.run([compiler, *flags, file, "-o", library], capture_output=True, text=True)
    if ran.returncode:
        raise RejectedError(ran.stderr)
    return library


@cache
def _folder():
    return tempfile.TemporaryDirectory(prefix="kernels-")
