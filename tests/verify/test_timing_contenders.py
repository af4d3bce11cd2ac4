"""Who is timed: everybody computes the same, what a library does otherwise or cannot do is said."""

import json
import os
import subprocess
import sys
from importlib import import_module
from statistics import median

import pytest

from paths import ROOT
from samples.timing_examples import jobs, model
from tightrope import backends
from tightrope.verify import timing
from tightrope.verify.timing.measure import find_contenders


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.backend(name)) for name in ("torch", "mlx")])
def place(request):
    return request.param


@pytest.mark.parametrize("order", ["bhsd", "bshd"])
@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_every_task_gives_rows_with_the_copy_first(place, layout, order):
    for job in jobs(place, model=model(layout=layout), orders=[order]):
        rows = timing.run(job, rounds=2)
        if place == "mlx" and job.work.task == "in place":
            assert rows == []
            continue
        assert [row.contender for row in rows[:2]] == [timing.YARDSTICK, timing.OURS]
        assert rows[0].ratio == rows[0].share == 1.0
        assert all(row.seconds > 0 and row.ratio > 0 for row in rows)
        assert rows[1].path == backends.load(place).path("cpu")


def contenders(job):
    found = find_contenders(job.backend).contenders(job.work, job.rope, job.device)
    return {name: contender.call() for name, contender in found.items()}


@pytest.mark.parametrize("order", ["bhsd", "bshd"])
@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("rotary_dim", [64, 32])
@pytest.mark.parametrize("task", ["new tensors", "with gradient", "by position"])
def test_everybody_computes_the_same(place, task, layout, rotary_dim, order):
    form = {"orders": [order], "layouts": [layout], "rotary_dims": [rotary_dim]}
    (job,) = jobs(place, tasks=[task], dtypes=["float32"], model=model(base=1e4), **form)
    backend = backends.load(place)
    results = {name: [backend.to_numpy(x) for x in found] for name, found in contenders(job).items()}
    results.pop(timing.YARDSTICK)
    ours = results.pop(timing.OURS)
    for name, theirs in results.items():
        for a, b in zip(ours, theirs, strict=True):
            # Angles of at most 4 rad: frequency, product, cosine and rotation each round to float32 once, and |x| < 6.
            assert abs(a - b).max() < 4 * (4 * 2.0**-24) * 6, name


@pytest.mark.backend("torch")
@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("rotary_dim", [64, 32])
def test_vllms_kernel_rotates_in_place_as_we_do(layout, rotary_dim):
    from tightrope.backends.torch import RotaryEmbedding

    form = {"orders": ["bshd"], "layouts": [layout], "rotary_dims": [rotary_dim]}
    (job,) = jobs("torch", tasks=["in place"], dtypes=["float32"], model=model(base=1e4), **form)
    found = find_contenders("torch").contenders(job.work, job.rope, job.device)
    theirs = next((contender for name, contender in found.items() if name.startswith("vLLM")), None)
    if theirs is None:
        pytest.skip("; ".join(line for line in timing.absent([job]) if "vLLM" in line))
    before = [x.clone() for x in found[timing.OURS].call()]  # what every contender finds in the memory
    expected = RotaryEmbedding(job.rope)(*before, order="bshd")
    for ours, rotated in zip(expected, theirs.call(), strict=True):
        assert (ours - rotated).abs().max() < 4 * (4 * 2.0**-24) * 6


@pytest.mark.parametrize(("task", "times"), [("new tensors", 1), ("by position", 1), ("with gradient", 2)])
def test_the_yardstick_writes_as_many_bytes_as_the_task_must(place, task, times):
    (job,) = jobs(place, tasks=[task])
    q_and_k = (4 + 2) * 5 * 64 * 2
    assert sum(x.nbytes for x in contenders(job)[timing.YARDSTICK]) == times * q_and_k


@pytest.mark.backend("torch")
@pytest.mark.parametrize("side", ["head", "tail"])
def test_a_library_takes_part_where_it_can_and_its_absence_is_said(side):
    pytest.importorskip("transformers")
    (job,) = jobs("torch", tasks=["new tensors"], model=model(side=side, rotary_dim=32))
    taking_part = [row.contender for row in timing.run(job, rounds=1)]
    left_out = "torch cpu: transformers rotates the first channels only"
    assert ("transformers" in taking_part, left_out in timing.absent([job])) == (side == "head", side == "tail")


@pytest.mark.backend("torch")
def test_a_library_that_is_not_here_is_named(monkeypatch):
    from tightrope.verify.timing import torch_libraries as libraries

    monkeypatch.setattr(libraries, "find_spec", lambda module: None)
    lines = timing.absent(jobs("torch", tasks=["in place", "new tensors"]))
    assert lines == [f"torch cpu: {library.name} is not installed" for library in libraries.LIBRARIES]


@pytest.mark.backend("torch")
@pytest.mark.parametrize("error", [ImportError("No module named 'torchao'"), RuntimeError("no operator nms")], ids=repr)
@pytest.mark.parametrize(("name", "module"), [("torchtune", "torchtune"), ("transformers", "transformers.models")])
def test_a_library_that_does_not_import_is_no_reason_to_stop(name, module, error, monkeypatch):
    from tightrope.verify.timing import torch_libraries as libraries

    def broken(wanted):
        if wanted.startswith(module) or wanted.partition(".")[0] not in ("transformers", "torchtune"):
            raise error
        return import_module(wanted)

    monkeypatch.setattr(libraries, "find_spec", lambda module: object())
    monkeypatch.setattr(libraries, "import_module", broken)
    monkeypatch.setattr(libraries, "LIBRARIES", [one for one in libraries.LIBRARIES if one.name == name])
    monkeypatch.setattr("tightrope.verify.timing.on_torch.LIBRARIES", libraries.LIBRARIES)
    (job,) = jobs("torch", tasks=["new tensors"])
    assert f"torch cpu: {name} is installed and cannot be imported: {error}" in timing.absent([job])
    assert [row.contender for row in timing.run(job, rounds=1)] == [timing.YARDSTICK, timing.OURS]


@pytest.mark.backend("torch")
def test_a_library_for_another_device_says_so(monkeypatch):
    from types import ModuleType

    from tightrope.verify.timing import torch_libraries as libraries

    monkeypatch.setattr(libraries, "find_spec", lambda module: object())
    monkeypatch.setattr(libraries, "import_module", ModuleType)
    lines = timing.absent(jobs("torch", tasks=["new tensors"]))
    assert {f"torch cpu: {name} runs on CUDA only" for name in ("liger-kernel", "flash-attn")} <= set(lines)


REMARKS = {"in place": "into new tensors", "new tensors": "", "by position": "", "angles": "every angle twice"}


@pytest.mark.parametrize(("task", "remark"), REMARKS.items())
@pytest.mark.backend("torch")
def test_what_a_library_does_otherwise_is_said(task, remark):
    pytest.importorskip("transformers")
    rows = timing.run(jobs("torch", tasks=[task])[0], rounds=1)
    assert {row.contender: row.remark for row in rows}["transformers"] == remark


@pytest.mark.backend("mlx")
@pytest.mark.parametrize(("task", "remark"), [("new tensors", "computes angles too"), ("by position", "")])
def test_what_mlx_does_otherwise_is_said(task, remark):
    rows = timing.run(jobs("mlx", tasks=[task])[0], rounds=1)
    assert {row.contender: row.remark for row in rows}["mx.fast.rope"] == remark


def peak_of_ours(job):
    library = find_contenders(job.backend)
    ours = library.contenders(job.work, job.rope, job.device)[timing.OURS]
    return library.peak(ours.call, job.device)


PEAKS = """
import json
from tightrope.verify import timing
from tightrope.verify.timing.measure import find_contenders
from samples.timing_examples import jobs

library = find_contenders("torch")
found = []
for task in ("in place", "new tensors"):
    (job,) = jobs("torch", tasks=[task], dtypes=["float32"], lengths=[4096], heads=16, kv_heads=8)
    call = library.contenders(job.work, job.rope, job.device)[timing.OURS].call
    found.append([library.peak(call, job.device) for _ in range(3)])
print(json.dumps(found))
"""


@pytest.mark.backend("torch")
def test_in_place_holds_no_memory_and_new_tensors_hold_exactly_themselves():
    # In a process of its own: what other tests freed would serve new tensors, and nothing would seem to be held.
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "helpers")}
    ran = subprocess.run([sys.executable, "-c", PEAKS], env=env, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    tries = json.loads(ran.stdout)
    if None in tries[0]:
        pytest.skip("this system does not tell how much memory a call takes")
    # A system short of memory takes pages away and gives them back, during one call or another.
    peaks = [median(peaks) for peaks in tries]
    results = 24 * 4096 * 64 * 4
    # Resident memory is counted in pages, by every processor for itself; an interpreter moves a few at any time.
    slack = 64 * 4096
    assert peaks[0] < slack
    assert results - slack < peaks[1] < results + slack


@pytest.mark.backend("mlx")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_on_mlx_new_arrays_hold_themselves_and_two_tables_at_most(dtype):
    (job,) = jobs("mlx", tasks=["new tensors"], dtypes=[dtype], lengths=[512], heads=16, kv_heads=8)
    peak = peak_of_ours(job)
    results = 24 * 512 * 64 * (4 if dtype == "float32" else 2)
    # −sin and sin by channel, in float32; allocations are rounded up to pages.
    assert results <= peak <= results + 2 * 512 * 64 * 4 + 16 * 4096


@pytest.mark.backend("torch")
def test_calls_on_pytorch_are_timed_without_a_detour_through_python():
    import torch

    with find_contenders("torch").on("cpu"):
        assert torch._C._len_torch_function_stack() == 0
