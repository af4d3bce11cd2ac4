"""The NEON kernel gives the bits of the definition: cross-compiled, and run by an emulator of an ARM processor."""

import subprocess
from itertools import product

import numpy as np
import pytest

from paths import ROOT
from proofs.cases import Case, expected, inputs
from proofs.cpu import native_build
from tightrope.rope.reference import round_to

COMPILER, needs_compiler = native_build.program("aarch64-linux-gnu-gcc")
EMULATOR, needs_emulator = native_build.program("qemu-aarch64-static", "qemu-aarch64")
pytestmark = [needs_compiler, needs_emulator]

CASES = [
    *(Case(dtype=dtype, layout=layout, pairs=22, tables=2, axes=3, gain=1.25, low=-(2**40), high=2**40)
      for dtype, layout in product(("float32", "bfloat16", "float16"), ("half", "interleaved"))),
    *(Case(dtype=dtype, source="table", transpose=True, special=True, pairs=8, side="tail")
      for dtype in ("float32", "bfloat16", "float16")),
]  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("neon") / "driver"
    sources = [native_build.TEXTS / name for name in ("neon.c", "threads.c")]
    driver = ROOT / "tests/helpers/proofs/cpu/neon_driver.c"
    flags = ["-O3", "-ffp-contract=off", "-static", "-pthread", "-Wall", "-Werror", f"-I{native_build.TEXTS}"]
    subprocess.run([COMPILER, *flags, driver, *sources, "-o", path], check=True)
    return path


def job(case, given):
    """Return the bytes that the driver reads."""
    before = case.q_width - 2 * case.pairs if case.side == "tail" else 0
    header = [
        ("float32", "bfloat16", "float16").index(case.dtype), case.layout == "interleaved", case.transpose,
        before, case.q_width - 2 * case.pairs - before, case.batch, case.q_heads, case.seq, case.pairs,
        case.source == "phase", case.axes, max(case.tables, 1), 2,
    ]  # fmt: skip
    angles = [given.cos, given.sin]
    if case.source == "phase":
        angles = [given.positions.astype(np.int64), given.turns, given.gains, given.rows, given.axes]
    parts = [np.array(header, np.int64), narrowed(given.q.swapaxes(1, 2), case.dtype), *angles]
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


def narrowed(values, dtype):
    """Return float32 values of dtype in the bits of dtype."""
    if dtype == "bfloat16":
        return (round_to(values, dtype).view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return values.astype(dtype)


def widened(raw, dtype):
    """Return the values of these bytes in float32."""
    if dtype == "bfloat16":
        return (np.frombuffer(raw, np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.frombuffer(raw, dtype).astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_neon_gives_the_bits_of_the_definition(program, case):
    given = inputs(case)
    ran = subprocess.run([EMULATOR, program], input=job(case, given), capture_output=True, check=True)
    wanted = expected(case, given)[0].swapaxes(1, 2)
    got = widened(ran.stdout, case.dtype).reshape(wanted.shape)
    same = (got == wanted) & (np.signbit(got) == np.signbit(wanted)) | (np.isnan(got) & np.isnan(wanted))
    assert same.all(), f"{(~same).sum()} of {same.size} elements differ"
