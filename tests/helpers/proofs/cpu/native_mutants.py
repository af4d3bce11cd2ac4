"""Mistakes in the C kernel's text; run as a module, this compiles each and says whether the cases find it.

usage: python -m proofs.cpu.native_mutants FOLDER
"""

import json
import os
import platform
import sys
from itertools import groupby, product
from pathlib import Path
from typing import NamedTuple

from proofs.cases import CASES, DTYPES
from proofs.cpu import native_build
from proofs.mutants import Mutant

FORMS = tuple(product(DTYPES, ("half", "interleaved")))

# The instruction set for which the text that all share gets its mistakes.
SHARED = "neon" if platform.machine() in ("arm64", "aarch64") else "avx2"

IN_ROW = [
    Mutant("sign", "mul_sub(x.first, cos, mul(x.second, sin))", "mul_add(x.first, cos, mul(x.second, sin))"),
    Mutant("sin and cos exchanged", "mul_add(x.first, sin, mul(", "mul_add(x.first, cos, mul("),
    Mutant("not transposed", "flip(load_f32(by.sin + i), by.sign)", "load_f32(by.sin + i)"),
    Mutant("not transposed where few", "(CosSin){cos, sin, by.sign}", "(CosSin){cos, sin, 0}"),
    Mutant("rest left out", "if (rest) put_one(", "if (0) put_one("),
    Mutant("rest with angles before", "at, by, pairs - LANES, last)", "at, by, pairs - LANES - 1, last)"),
    Mutant("rest of the first head for all", "put_one(dtype, layout, rows, count, at, pairs - LANES, last)",
           "put_one(dtype, layout, rows, 1, at, pairs - LANES, last)"),
    Mutant("second vector with the first angles", "angles_at(by, i + LANES)", "angles_at(by, i)"),
    Mutant("odd vector left out", "if (i < pairs) {", "if (layout == INTERLEAVED && i < pairs) {"),
    Mutant("second member in the wrong place", "{channel, pairs * channel}", "{channel, (pairs - 1) * channel}"),
    Mutant("few of the first head for all", "rotate_few(dtype, rows.x + j * rows.x_next", "rotate_few(dtype, rows.x"),
]  # fmt: skip
IN_TILE = [
    Mutant("sin with a stride of cos", "steps * by.sin", "steps * by.cos"),
    Mutant("rest before not copied", "if (h->before) copy", "if (0) copy"),
    Mutant("rest after not copied", "if (h->after)", "if (0)"),
    Mutant("rest of one head copied", "for (int n = 0; n < run->at_once; n++)", "for (int n = 0; n < 1; n++)"),
    Mutant("output with the stride of the input", "at_once * h->out.head, 0, 0}", "at_once * h->in.head, 0, 0}"),
    Mutant("heads with the step of the input", "h->in.head, h->out.head, job", "h->in.head, h->in.head, job"),
    Mutant("heads left over not rotated", "if (first + whole < last)", "if (0)"),
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
IN_AVX2 = [
    Mutant("bfloat16 ties away", "_mm256_set1_epi32(0x7fff)", "_mm256_set1_epi32(0x8000)"),
    Mutant("float16 cut off", "_MM_FROUND_TO_NEAREST_INT", "_MM_FROUND_TO_ZERO"),
    Mutant("float32 pairs in the wrong order", "_mm256_permute2f128_ps(low, high, 0x20)", "low"),
    Mutant("bfloat16 pairs exchanged", "first, _mm256_castps_si256(rounded.second), 0xaa", "first, first, 0xaa"),
    Mutant("NaN rounded as a number", "_mm256_or_ps(v.first, quiet), first_nan", "rounded.first, first_nan"),
]
IN_AVX512 = [
    Mutant("every second vector the first", "high = _mm512_add_epi16(low, _mm512_set1_epi16(16))", "high = low"),
    Mutant("float32 pairs in the wrong order", "high = _mm512_add_epi32(low, _mm512_set1_epi32(8))", "high = low"),
    Mutant("bfloat16 pairs exchanged", "alternating(16)", "alternating(15)"),
    Mutant("float16 pairs exchanged", "alternating(32)", "alternating(33)"),
    Mutant("float16 cut off", "_MM_FROUND_TO_NEAREST_INT", "_MM_FROUND_TO_ZERO"),
    Mutant("subnormal numbers flushed", "quick || !any_subnormal(v)", "true"),
    Mutant("subnormal second members flushed", "_mm512_fpclass_ps_mask(v.second, 0x20)", "0"),
    Mutant(
        "small numbers of the first head alone seen",
        "all = j ? _mm512_ternarylogic_epi32(all, a, b, 0x80)",
        "all = j ? all",
    ),
    Mutant(
        "small second members not seen",
        "_mm512_castps_si512(w[j].first), raise",
        "_mm512_castps_si512(v[j].first), raise",
    ),
    Mutant("numbers small from half as much on", "_mm512_set1_epi16(34 << 7)", "_mm512_set1_epi16(35 << 7)"),
]
IN_FLUSHING = [
    Mutant("angles small from half as much on", "(127 - 63) << 23", "(127 - 64) << 23"),
    Mutant("small cos not seen", "((c & 0x7fffffff) - 1 < limit - 1) | ", ""),
    Mutant("small sin not seen", " | ((n & 0x7fffffff) - 1 < limit - 1)", ""),
    Mutant(
        "small angles of the first token alone seen",
        "for (int64_t s = 0; s < tokens; s++) {\n        const char *cos = angles.cos",
        "for (int64_t s = 0; s < 1; s++) {\n        const char *cos = angles.cos",
    ),
]
IN_EXACT_TILE = [
    Mutant(
        "what was rotated in place rotated again", "run.inner.count - j, done, pairs", "run.inner.count - j, 0, pairs"
    ),
    Mutant("first pairs of later rows left out", "j++, start = 0, row", "j++, row"),
    Mutant("rows behind a small number left out", "&run, run.inner.count - j", "&run, 1"),
    Mutant("runs behind a small number left out", "while (run.outer.count)", "if (run.outer.count)"),
    Mutant("one head of a small number rotated", "h < run->at_once; h++", "h < 1; h++"),
]
IN_NEON = [
    Mutant("bfloat16 ties away", "vdupq_n_u32(0x7fff)", "vdupq_n_u32(0x8000)"),
    Mutant("half of the pairs lost", "{{v.first, v.second}}", "{{v.first, v.first}}"),
    Mutant("both vectors the first", "to_bf16(v.first), to_bf16(v.second))", "to_bf16(v.first), to_bf16(v.first))"),
]


class Mistake(NamedTuple):
    """A mutant, the file that it is put into, and the instruction set whose kernel must then give other bits."""

    file: str
    variant: str
    mutant: Mutant

    def __str__(self):
        return f"{self.variant}: {self.mutant}"


MISTAKES = [
    Mistake(file, variant, mutant)
    for file, variant, mutants in (
        ("row.h", SHARED, IN_ROW), ("rotate.h", SHARED, IN_TILE), ("angles.h", SHARED, IN_ANGLES),
        ("avx2.c", "avx2", IN_AVX2), ("avx512.c", "avx512bf16", IN_AVX512), ("angles.h", "avx512bf16", IN_FLUSHING),
        ("rotate.h", "avx512bf16", IN_EXACT_TILE), ("neon.c", "neon", IN_NEON),
    )
    for mutant in mutants
]  # fmt: skip


def differs(path, variant):
    """Say whether that kernel of the extension at that path gives something wrong."""
    from proofs.cpu import native_cases
    from tightrope.backends.torch.kernels.cpu import CpuKernel

    extension = native_build.load(path)
    kernel = CpuKernel(extension, variant, extension.variants.index(variant))
    if native_cases.apart_tables_problem(kernel) or any(native_cases.rounding_problem(kernel, *how) for how in FORMS):
        return True
    if any(native_cases.flushing_problem(kernel, layout) is not None for layout in ("half", "interleaved")):
        return True
    return any(native_cases.problem(kernel, case) for case in [*native_cases.MORE, *CASES.values()])


def differs_apart(path, variant):
    """As `differs`, in a process of its own: a mistake may write where it must not, and dying of it counts as well."""
    child = os.fork()
    if child == 0:
        os._exit(differs(path, variant))
    return os.waitpid(child, 0)[1] != 0


def main(folder):
    """Print a line for the text as it is and each mistake that can be tried here: its name, and whether it was seen."""
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    build = native_build.Build(Path(folder))
    build.compile(*native_build.SOURCES)
    right = build.link("right.so")
    here = native_build.load(right).variants
    print(json.dumps(["", any(differs_apart(right, variant) for variant in here)]), flush=True)
    for variant, mistakes in groupby(MISTAKES, lambda mistake: mistake.variant):
        for mistake in mistakes if variant in here else ():
            print(json.dumps([str(mistake), seen(mistake, build)]), flush=True)
        build.compile(variant)


def seen(mistake, build):
    """Say whether something came out wrong with the mistake in the text."""
    path = build.folder / mistake.file
    text = path.read_text()
    path.write_text(mistake.mutant.apply(text))
    build.compile(mistake.variant)
    path.write_text(text)
    return differs_apart(build.link(f"{MISTAKES.index(mistake)}.so"), mistake.variant)


if __name__ == "__main__":
    main(*sys.argv[1:])
