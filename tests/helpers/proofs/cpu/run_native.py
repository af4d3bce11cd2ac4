"""Compile the C kernel with the given flags and run every case on it, in a process of its own: it may end at a check.

usage: python -m proofs.cpu.run_native FOLDER FLAG ...
"""

import json
import sys
from pathlib import Path

from proofs.cases import CASES
from proofs.cpu import native_build, native_cases
from tightrope.backends.torch.kernels.cpu import CpuKernel


def main(folder, *flags):
    """Print a line for each instruction set: its name, and the cases that came out wrong."""
    build = native_build.Build(Path(folder), flags)
    build.compile(*native_build.SOURCES)
    extension = native_build.load(build.link())
    for index, name in enumerate(extension.variants):
        kernel = CpuKernel(extension, name, index)
        wrong = [str(case) for case in [*native_cases.MORE, *CASES.values()] if native_cases.problem(kernel, case)]
        print(json.dumps([name, wrong]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
