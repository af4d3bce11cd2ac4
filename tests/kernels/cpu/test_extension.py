"""The extension: calls that it refuses, versions, processes that fork, and PyTorch without it."""

import os
import subprocess
import sys

import pytest

from proofs import tools
from proofs.cpu import native_build
from tightrope.backends.kernels import INTERFACE, load_cpu

pytestmark = pytest.mark.backend("torch")


EXTENSION = load_cpu()

VARIANTS = EXTENSION.variants if EXTENSION else ()


def calls_that_cannot_be():
    """What is wrong with a call of the extension, its arguments, and what is said."""
    import torch

    x, part = torch.ones(1, 1, 2, 8), torch.ones(1, 2, 4)
    whole = torch.ones(1, 1, 2, dtype=torch.int64)
    how = (0, -1, 0, False, 0, False, 1)
    phase = (whole, torch.ones(1, 4, dtype=torch.int64), torch.ones(1), None, None)
    yield (*how, (x,), (x,), part), TypeError, "expected 14 arguments, got 10"
    yield (9, *how[1:], (x,), (x,), part, part), ValueError, "variant must be an index"
    yield (0, 3, *how[2:], (x,), (x,), part, part), ValueError, "expected angles of 3 pairs"
    yield (*how, (x,), (x,), part, part[:, :1]), ValueError, "one shape"
    yield (*how, (x,), (x,), part[0], part[0]), ValueError, "expected a tensor of 3 axes, got 2"
    yield (*how, (x,), (x,), part.to("meta"), part), RuntimeError, "meta"
    yield (*how, (x,), (x,), torch.ones(1, 1, 1, 1, 1), part), ValueError, "of at most 4 axes"
    yield (*how, (x,), (x,), [1.0], part), AttributeError, "__dlpack_c_exchange_api__"
    yield (*how, (x,), (x.half(),), part, part), ValueError, "one shape and one dtype"
    yield (*how, (x,), (x[..., :6],), part, part), ValueError, "one shape and one dtype"
    yield (*how, (x.double(),), (x.double(),), part, part), ValueError, "that the kernel rotates"
    yield (*how, (x[..., :6],), (x[..., :6],), part, part), ValueError, "do not fit"
    yield (*how, (x,), (), part, part), ValueError, "tuples of one or two tensors"
    yield (*how, (x, x, x), (x, x, x), part, part), ValueError, "tuples of one or two tensors"
    yield (*how, (), (), part, part), ValueError, "tuples of one or two tensors"
    yield (*how, [x], (x,), part, part), ValueError, "tuples of one or two tensors"
    yield (*how, (x,), (x,), part.double(), part.double()), ValueError, "float32, one pair or more, side by side"
    yield (*how, (x,), (x,), part, part.mT.contiguous().mT), ValueError, "float32, one pair or more, side by side"
    yield (*how, (x,), (x,), whole.float(), *phase[1:]), TypeError, "positions are int32 or int64"
    yield (*how, (x,), (x,), whole.double(), *phase[1:]), TypeError, "positions are int32 or int64"
    yield (*how, (x,), (x,), *phase[:2], torch.ones(1).half(), None, None), TypeError, "gains float32"
    yield (*how, (x,), (x,), (1, 3, (1, 1, 2), (2, 2)), *phase[1:]), ValueError, "a stride for each"


def test_a_call_that_cannot_be_is_refused_before_it_reads_memory(kernel):
    from tightrope.backends.torch.kernels import cpu as native

    if not native._DESCRIBED:
        pytest.skip("tensors of this PyTorch do not describe themselves to C")
    for arguments, error, said in calls_that_cannot_be():
        with pytest.raises(error, match=said):
            kernel.extension.rotate(*arguments)


# The parent's threads are PyTorch's, a child's the kernel's own; neither may wait for threads that are gone.
FORKING = """
import os, sys, threading
import torch
from tightrope.backends.shared.angles import Table
from tightrope.backends.torch.kernels import cpu as native

torch.get_num_threads = lambda: 3
x = torch.randn(2, 16, 400, 128)
turn = torch.rand(1, 400, 64)
table = Table(cos=turn.cos(), sin=turn.sin())

def rotated():
    out = torch.empty_like(x)
    native.kernel.rotate((x,), (out,), table, layout="half", side="head", order="bhsd", transpose=False)
    return out

wanted = rotated()

def check():
    same = []
    threads = [threading.Thread(target=lambda: same.extend(torch.equal(rotated(), wanted) for _ in range(5)))
               for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return same == [True] * 20

sys.exit(not check()) if (child := os.fork()) == 0 else None
first = os.waitpid(child, 0)[1]
grandchild = os.fork()
if grandchild == 0:
    rotated()
    inner = os.fork()
    if inner == 0:
        os._exit(not check())
    os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
second = os.waitpid(grandchild, 0)[1]
sys.exit(not (check() and first == second == 0))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.skipif(not VARIANTS, reason="the C kernel was not built")
def test_threads_survive_forks_and_callers_at_the_same_time():
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKING], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr


@native_build.needs_compiler
def test_nothing_in_the_text_is_undefined(tmp_path):
    # Without a runtime library to report it, what C leaves undefined ends the process.
    flags = ["-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    lines, error = tools.run_python("proofs.cpu.run_native", tmp_path, *flags, folder=tmp_path)
    assert not error
    assert lines == [[name, []] for name in VARIANTS]


def run_without_extension(code, **environment):
    """Run Python code in a process where the extension is not installed."""
    hidden = "import sys; sys.modules['tightrope.backends.kernels._cpu'] = None\n"
    return subprocess.run(
        [sys.executable, "-c", hidden + code], env=os.environ | environment, capture_output=True, text=True
    )


ROTATE = """
import torch
from tightrope.backends.torch import path, rotate
x = torch.arange(64.0).reshape(1, 2, 4, 8)
half = torch.full((1, 4, 4), 0.5)
print(path("cpu"), *rotate(x, cos=half, sin=half, layout="half")[0, 0, 0].tolist(), sep=";")
"""


STALE = """
import sys, types, warnings
def rotate(*arguments): raise SystemExit("a stale kernel was called")
stale = types.SimpleNamespace(variants=("avx2",), rotate=rotate, cos_sin=rotate, **{number})
sys.modules["tightrope.backends.kernels._cpu"] = stale
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    from tightrope.backends.kernels import INTERFACE, load_cpu
    import tightrope.backends.torch
    load_cpu()
print(len(found), found[0].message, sep=";")
"""


@pytest.mark.parametrize("number", [{}, {"interface": INTERFACE + 1}], ids=["before there was a number", "another"])
def test_an_extension_of_another_version_is_not_called_and_one_warning_says_how_to_build(number):
    code = STALE.replace("{number}", repr(number)) + ROTATE
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    warned, rotated = ran.stdout.splitlines()
    assert warned.startswith("1;the C kernel is not used: it was built for another version of Tightrope")
    assert "pip install" in warned
    assert rotated.startswith("framework operations;-2.0;")


# What each number stands for. A change of a line below needs a new number, in kernels/__init__.py and in module.c.
CALLS = {
    1: (
        "rotate(variant, pairs, layout, tail, order, transpose, threads, xs, outs, cos, sin)",
        "rotate(variant, pairs, layout, tail, order, transpose, threads, xs, outs, positions, turns, gains, rows, "
        "axes)",
        "cos_sin(variant, threads, positions, turns, gains, rows, axes, cos, sin)",
        "typedef enum { FLOAT32, BFLOAT16, FLOAT16, INT32, INT64, OTHER } Dtype;",
        "typedef enum { HALF, INTERLEAVED } Layout;",
        "typedef enum { BHSD, BSHD, THD } Order;",
    )
}


@pytest.mark.skipif(EXTENSION is None, reason="the C kernel was not built")
def test_the_number_of_the_interface_grows_with_it():
    texts = "".join((native_build.TEXTS / name).read_text() for name in ("module.c", "job.h"))
    said = [*EXTENSION.rotate.__doc__.splitlines()[:2], EXTENSION.cos_sin.__doc__.splitlines()[0]]
    said += [line for line in texts.splitlines() if line.startswith("typedef enum {")][::-1]
    assert EXTENSION.interface == INTERFACE == max(CALLS)
    assert sorted(said) == sorted(CALLS[INTERFACE])


def test_without_the_extension_framework_operations_rotate():
    ran = run_without_extension(ROTATE)
    # y1 = (x1 − x2) / 2 and y2 = (x1 + x2) / 2 of 0 … 7.
    assert ran.stdout.strip().split(";") == ["framework operations", *["-2.0"] * 4, *["2.0", "3.0", "4.0", "5.0"]]


def test_the_variable_can_turn_the_kernel_off():
    ran = subprocess.run(
        [sys.executable, "-c", ROTATE],
        env=os.environ | {"TIGHTROPE_CPU_KERNEL": "none"},
        capture_output=True,
        text=True,
    )
    assert ran.stdout.startswith("framework operations;"), ran.stderr


def test_an_unknown_instruction_set_is_refused(kernel):
    native = pytest.importorskip("tightrope.backends.torch.kernels.cpu")
    from tightrope import RopeConfigError

    with pytest.raises(RopeConfigError, match=r"TIGHTROPE_CPU_KERNEL must be 'none' or one of .*, got 'sse2'"):
        native.find_kernel("sse2")
