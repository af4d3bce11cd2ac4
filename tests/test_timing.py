"""Timing: fair turns, ratios inside a round, honest rows. No test depends on how fast anything is."""

import json
from dataclasses import replace
from itertools import product

import pytest

import tightrope
from tightrope import backends
from tightrope.backends import timing
from tightrope.backends.timing.turns import find_contenders
from tightrope.rope.scaling.default import Default


class Clock:
    """A clock that moves when somebody works, and a machine that slows down as it goes on."""

    def __init__(self):
        self.now, self.pace, self.log = 0.0, 1.0, []

    def __call__(self):
        return self.now

    def worker(self, name, seconds):
        def work():
            self.log.append(name)
            self.now += seconds * self.pace
            self.pace *= 1.001

        return work


@pytest.fixture
def clock():
    return Clock()


def measured(clock, rounds=6, **seconds):
    calls = {name: clock.worker(name, value) for name, value in seconds.items()}
    return timing.interleaved(calls, rounds, lambda: None, clock)


def test_everybody_has_a_turn_in_every_round(clock):
    assert {name: len(values) for name, values in measured(clock, copy=1.0, ours=2.0, other=3.0).items()} == {
        "copy": 6,
        "ours": 6,
        "other": 6,
    }


def test_everybody_is_first_in_some_round(clock):
    measured(clock, rounds=3, copy=1.0, ours=2.0, other=3.0)
    rounds = [clock.log[-9:][i : i + 3] for i in (0, 3, 6)]
    assert [names[0] for names in rounds] == ["copy", "ours", "other"]


def test_a_drifting_machine_leaves_ratios_alone(clock):
    seconds = measured(clock, rounds=40, copy=1.0, ours=2.0)
    assert seconds["copy"][-1] > 1.05 * seconds["copy"][0]
    ratios = [ours / copy for ours, copy in zip(seconds["ours"], seconds["copy"], strict=True)]
    # Within a round the machine slows down by a thousandth between two turns.
    assert max(ratios) / min(ratios) < 1.001**3


def test_short_calls_are_repeated_until_the_clock_can_tell(clock):
    measured(clock, rounds=1, copy=1e-3, ours=1e-5)
    # Two warm-ups and one to see how long it takes; then at least 2 ms.
    assert clock.log.count("copy") == 3 + 2
    assert 3 + 190 < clock.log.count("ours") <= 3 + 200


def test_what_was_started_is_finished_within_the_turn():
    events = []
    timing.interleaved(
        {"copy": lambda: events.append("call")}, 1, lambda: events.append("wait"), lambda: 0.0 + len(events)
    )
    assert events[:4] == ["wait", "call", "call", "wait"]


def rope(**changes):
    shape = {"head_dim": 64, "rotary_dim": 64, "base": 1e4, "layout": "half", "scaling": Default()}
    return tightrope.RopeConfig(**(shape | changes))


def model(**changes):
    return tightrope.ModelRope(ropes={"default": rope(**changes)}, layers=["default"])


def jobs(name, **options):
    small = {"dtypes": ["bfloat16"], "lengths": [5], "heads": 4, "kv_heads": 2}
    return timing.plan(options.pop("model", model()), [(name, "cpu")], **(small | options))


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
@pytest.mark.parametrize("side", ["head", "tail"])
def test_a_library_takes_part_where_it_can_and_its_absence_is_said(side):
    pytest.importorskip("transformers")
    (job,) = jobs("torch", tasks=["new tensors"], model=model(side=side, rotary_dim=32))
    taking_part = [row.contender for row in timing.run(job, rounds=1)]
    left_out = "torch cpu: transformers turns the first channels only"
    assert ("transformers" in taking_part, left_out in timing.absent([job])) == (side == "head", side == "tail")


@pytest.mark.backend("torch")
def test_a_library_that_is_not_here_is_named(monkeypatch):
    from tightrope.backends.torch import libraries

    monkeypatch.setattr(libraries, "find_spec", lambda module: None)
    lines = timing.absent(jobs("torch", tasks=["in place", "new tensors"]))
    assert lines == [f"torch cpu: {library.name} is not installed" for library in libraries.LIBRARIES]


@pytest.mark.backend("torch")
def test_a_library_that_does_not_import_is_no_reason_to_stop(monkeypatch):
    from tightrope.backends.torch import libraries

    def broken(module):
        raise ImportError("No module named 'torchao'")

    monkeypatch.setattr(libraries, "find_spec", lambda module: object())
    monkeypatch.setattr(libraries, "import_module", broken)
    (job,) = jobs("torch", tasks=["new tensors"])
    line = "torch cpu: torchtune is installed and cannot be imported: No module named 'torchao'"
    assert line in timing.absent([job])
    assert [row.contender for row in timing.run(job, rounds=1)] == [timing.YARDSTICK, timing.OURS]


@pytest.mark.backend("torch")
def test_a_library_for_another_device_says_so(monkeypatch):
    from types import ModuleType

    from tightrope.backends.torch import libraries

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


@pytest.mark.backend("torch")
def test_in_place_holds_no_memory_and_new_tensors_hold_exactly_themselves():
    (kept,) = jobs("torch", tasks=["in place"], dtypes=["float32"], lengths=[4096], heads=16, kv_heads=8)
    (made,) = jobs("torch", tasks=["new tensors"], dtypes=["float32"], lengths=[4096], heads=16, kv_heads=8)
    peaks = [peak_of_ours(job) for job in (kept, made)]
    if None in peaks:
        pytest.skip("this system does not tell how much memory a call takes")
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


def test_partial_rotation_in_place_moves_less():
    half = rope(rotary_dim=32)
    assert timing.moved("in place", half) == 0.5
    assert timing.moved("new tensors", half) == 1.0


@pytest.mark.backend("torch")
def test_a_plan_leaves_out_what_makes_no_sense():
    planned = jobs("torch", lengths=[8, 1], dtypes=["float32", "bfloat16"])
    works = {(job.work.task, job.work.seq, job.work.dtype) for job in planned}
    assert ("with gradient", 1, "float32") not in works
    assert ("angles", 8, "float32") in works
    assert ("angles", 8, "bfloat16") not in works
    assert ("new tensors", 1, "bfloat16") in works


@pytest.mark.backend("torch")
def test_a_plan_takes_every_layout_width_and_order_and_angles_once():
    many = {"layouts": ["half", "interleaved"], "rotary_dims": [64, 32], "orders": ["bhsd", "bshd"]}
    planned = jobs("torch", tasks=["in place", "angles"], **many)
    forms = [(job.work.task, job.rope.layout, job.rope.rotary_dim, job.work.order) for job in planned]
    in_place = [form[1:] for form in forms if form[0] == "in place"]
    assert sorted(in_place) == sorted(product(["half", "interleaved"], [64, 32], ["bhsd", "bshd"]))
    assert len(forms) == len(in_place) + 1


@pytest.mark.backend("torch")
def test_an_unknown_task_is_refused():
    with pytest.raises(tightrope.RopeConfigError, match=r"tasks must be of 'in place', .*, got 'sideways'"):
        jobs("torch", tasks=["sideways"])


ROW = timing.Row(
    backend="torch", device="cpu", path="", task="in place", dtype="float32", seq=8192, heads=32, kv_heads=8,
    order="bhsd", layout="half", rotary_dim=128, head_dim=128, contender="copy", remark="", seconds=0.0123,
    ratio=1.0, share=1.0, peak=None,
)  # fmt: skip
OURS = replace(ROW, contender="tightrope", path="C (avx2)", seconds=8.1e-6, ratio=0.66, share=1.515, peak=3 << 20)
OTHER = replace(ROW, layout="interleaved", rotary_dim=64, contender="numpy", remark="into new tensors")
ROWS = [ROW, OURS, OTHER]


def test_rows_become_a_table():
    assert [" ".join(line.split()) for line in timing.lines(ROWS)] == [
        "where task dtype seq order pairs who time × copy bandwidth / copy memory",
        "torch cpu in place float32 8,192 bhsd half copy 12.30 ms 1.00 100%",
        "torch cpu in place float32 8,192 bhsd half tightrope (C (avx2)) 8.1 µs 0.66 152% 3.0 MiB",
        "torch cpu in place float32 8,192 bhsd interleaved, 64 of 128 numpy (into new tensors) 12.30 ms 1.00 100%",
    ]


def test_rows_become_json():
    assert json.loads(json.dumps(timing.as_dicts(ROWS)))[1]["ratio"] == 0.66


def test_rows_become_bars():
    pytest.importorskip("matplotlib")
    from tightrope.viewing.speed import speed_picture

    figure = speed_picture([*ROWS, replace(ROW, seq=512)], "a machine")
    assert [len(axes.patches) for axes in figure.axes] == [2, 1, 1]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [1.0, 0.66]
    assert "8,192 tokens" in figure.axes[0].get_title(loc="left")


def test_bars_of_all_works_are_on_one_scale_of_plain_numbers():
    pytest.importorskip("matplotlib")
    from tightrope.viewing.speed import speed_picture

    figure = speed_picture([ROW, OURS, replace(ROW, seq=512, ratio=30.0)], "a machine")
    first, second = (axes.get_xlim() for axes in figure.axes)
    assert first == second
    figure.draw_without_rendering()
    assert {"0.5", "1", "2", "5"} <= {label.get_text() for label in figure.axes[0].get_xticklabels(which="both")}


@pytest.mark.backend("torch")
def test_calls_on_pytorch_are_timed_without_a_detour_through_python():
    import torch

    with find_contenders("torch").on("cpu"):
        assert torch._C._len_torch_function_stack() == 0
