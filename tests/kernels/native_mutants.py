"""Mistakes in the C kernel's text; run as a module, this compiles each and says whether the cases find it.

usage: python -m kernels.native_mutants FOLDER
"""

import json
import os
import platform
import sys
from pathlib import Path

from kernels import native_build
from kernels.cases import CASES
from kernels.mutants import Mutant

# The instruction set whose lanes get mistakes too; the rest of the text is the same for all.
LANES = "neon" if platform.machine() in ("arm64", "aarch64") else "avx2"

IN_ROW = [
    Mutant("sign", "mul_sub(x.first, cos, mul(x.second, sin))", "mul_add(x.first, cos, mul(x.second, sin))"),
    Mutant("sin and cos exchanged", "mul_add(x.first, sin, mul(", "mul_add(x.first, cos, mul("),
    Mutant("not transposed", "flip(load_f32(turns.sin + i), turns.sign)", "load_f32(turns.sin + i)"),
    Mutant("not transposed where few", "flip(load_f32(s), sign)", "load_f32(s)"),
    Mutant("rest left out", "put(dtype, layout, y, at, pairs - LANES, last);", ""),
    Mutant("rest read too late", "LANES, last)", "LANES, turned(dtype, layout, y, at, turns, pairs - LANES))"),
    Mutant("rest with the angles before", "turns, pairs - LANES)", "(Turns){turns.cos, turns.sin - 1}, pairs - LANES)"),
    Mutant("second vector with the first angles", "turns, i + LANES)", "turns, i)"),
    Mutant("odd vector left out", "    for (; i < count", "    for (; layout == INTERLEAVED && i < count"),
    Mutant("second member in the wrong place", "{channel, pairs * channel}", "{channel, (pairs - 1) * channel}"),
]  # fmt: skip
IN_TILE = [
    Mutant("sin with a stride of cos", "row.sin + by.sin", "row.sin + by.cos"),
    Mutant("rest before not copied", "if (h->before) copy", "if (0) copy"),
    Mutant("rest after not copied", "if (h->after)", "if (0)"),
    Mutant("output with the stride of the input", "h->in.head, h->out.head, 0, 0}", "h->in.head, h->in.head, 0, 0}"),
    Mutant("every tile the first", "h->in.batch + tile.first * h->in.seq", "h->in.batch"),
]  # fmt: skip
IN_ANGLES = [
    Mutant("quadrants not rounded", "(phase + (1u << 29)) >> 30", "phase >> 30"),
    Mutant("quadrant of cos", "((quadrant + 1) & 2)", "(quadrant & 2)"),
    Mutant("digit of the polynomial", "0.079675905f", "0.079675805f"),
    Mutant("not fused", "__builtin_fmaf(t, 1.57079637f, t * tail)", "t * 1.57079637f + t * tail"),
    Mutant("lower half of the product", "position[i]) >> 32)", "position[i]))"),
    Mutant("position cut to 32 bits", "(*(const int64_t *)at)", "(*(const int32_t *)at)"),
    Mutant("negative narrow positions", "(int64_t)(*(const int32_t *)at)", "(*(const uint32_t *)at)"),
    Mutant("axis ignored", "axis * p->axis + batch", "batch"),
    Mutant("gain on cos alone", "n[i] * gain", "n[i]"),
    Mutant("turns of the first table", "p->turns + row * pairs", "p->turns"),
    Mutant("gain of the first table", "p->gains[row]", "p->gains[0]"),
    Mutant("every block of pairs the first", "turns[start + i]", "turns[i]"),
]  # fmt: skip
IN_LANES = {
    "avx2": [
        Mutant("bfloat16 ties away", "_mm256_set1_epi32(0x7fff)", "_mm256_set1_epi32(0x8000)"),
        Mutant("float16 cut off", "_MM_FROUND_TO_NEAREST_INT", "_MM_FROUND_TO_ZERO"),
        Mutant("float32 pairs in the wrong order", "_mm256_permute2f128_ps(low, high, 0x20)", "low"),
        Mutant("bfloat16 pairs exchanged", "first, _mm256_castps_si256(rounded.second), 0xaa", "first, first, 0xaa"),
    ],
    "neon": [
        Mutant("bfloat16 ties away", "vdupq_n_u32(0x7fff)", "vdupq_n_u32(0x8000)"),
        Mutant("half of the pairs lost", "{{v.first, v.second}}", "{{v.first, v.first}}"),
    ],
}
IN_FILES = {"row.h": IN_ROW, "rotate.h": IN_TILE, "angles.h": IN_ANGLES, f"{LANES}.c": IN_LANES[LANES]}
MUTANTS = [(file, mutant) for file, mutants in IN_FILES.items() for mutant in mutants]


def differs(path):
    """Say whether the extension at that path gives something wrong."""
    from kernels import native_cases
    from tightrope.backends.torch.native import Kernel

    extension = native_build.load(path)
    kernel = Kernel(extension, LANES, extension.variants.index(LANES))
    cases = [*native_cases.MORE, *CASES.values()]
    return bool(native_cases.apart_tables_problem(kernel)) or any(native_cases.problem(kernel, case) for case in cases)


def differs_apart(path):
    """As `differs`, in a process of its own: a mistake may write where it must not, and dying of it counts as well."""
    child = os.fork()
    if child == 0:
        os._exit(differs(path))
    return os.waitpid(child, 0)[1] != 0


def main(folder):
    """Print a line for the text as it is and for each mistake: its name, and whether something came out wrong."""
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    build = native_build.Build(Path(folder))
    build.compile(*native_build.SOURCES)
    print(json.dumps(["", differs_apart(build.link("right.so"))]), flush=True)
    for number, (file, mutant) in enumerate(MUTANTS):
        text = (build.folder / file).read_text()
        (build.folder / file).write_text(mutant.apply(text))
        build.compile(LANES)
        print(json.dumps([mutant.name, differs_apart(build.link(f"{number}.so"))]), flush=True)
        (build.folder / file).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
