"""Timing: fair turns, what is planned, honest rows. No test depends on how fast anything is."""

import dataclasses
import json
from itertools import product

import pytest
from click.testing import CliRunner

import tightrope
from paths import ROOT
from samples.timing_examples import ROWS, jobs, rope
from tightrope import backends
from tightrope.cli import main
from tightrope.commands.bench import bench
from tightrope.verify import timing
from tightrope.verify.timing import measure
from tightrope.verify.timing.processor import named_by


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
    turns = clock.log[-18::2]  # a call that is not timed, and one that is
    assert turns[::3] == ["copy", "ours", "other"]


def test_a_drifting_machine_leaves_ratios_alone(clock):
    seconds = measured(clock, rounds=40, copy=1.0, ours=2.0)
    assert seconds["copy"][-1] > 1.05 * seconds["copy"][0]
    ratios = [ours / copy for ours, copy in zip(seconds["ours"], seconds["copy"], strict=True)]
    # The machine slows down by a thousandth at each of the two calls of a turn, for or against "ours".
    assert max(ratios) / min(ratios) < 1.001**5


def test_short_calls_are_repeated_until_the_clock_can_tell(clock):
    measured(clock, rounds=1, copy=1e-3, ours=1e-5)
    # Two calls to warm up, two to see how long one takes and one that begins the turn; then at least 2 ms.
    assert clock.log.count("copy") == 5 + 2
    assert 5 + 190 < clock.log.count("ours") <= 5 + 200


def test_nobody_pays_for_the_caches_that_another_left(clock):
    def work():
        clock.now += 1.0 if clock.log[-1:] == ["ours"] else 3.0
        clock.log.append("ours")

    seconds = timing.interleaved({"copy": clock.worker("copy", 1.0), "ours": work}, 4, lambda: None, clock)
    assert set(seconds["ours"]) == {1.0}


def test_what_was_started_is_finished_within_the_turn():
    events = []
    timing.interleaved(
        {"copy": lambda: events.append("call")}, 1, lambda: events.append("wait"), lambda: 0.0 + len(events)
    )
    assert events[:4] == ["call", "wait", "call", "wait"]


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


def test_the_command_offers_every_task():
    (option,) = [one for one in bench.params if one.name == "tasks"]
    assert tuple(option.type.choices) == timing.TASKS


def test_a_model_without_rope_is_refused():
    with pytest.raises(tightrope.RopeConfigError, match="has no rotary positions"):
        jobs("torch", model=tightrope.ModelRope(ropes={}, layers=[None]))


@pytest.mark.backend("torch")
def test_an_unknown_task_is_refused():
    with pytest.raises(tightrope.RopeConfigError, match=r"tasks must be of 'in place', .*, got 'sideways'"):
        jobs("torch", tasks=["sideways"])


def test_rows_become_json():
    assert json.loads(json.dumps(timing.as_dicts(ROWS)))[1]["ratio"] == 0.66


@pytest.mark.backend("torch")
def test_a_backend_whose_contenders_nobody_listed_is_left_out_with_the_reason(monkeypatch):
    entry = dataclasses.replace(backends.ENTRIES["torch"])
    monkeypatch.setitem(backends.ENTRIES, "another", entry)
    job = dataclasses.replace(jobs("torch")[0], backend="another", device="cpu")
    assert timing.run(job) == []
    assert timing.absent([job, job]) == [
        "another cpu: nothing is timed; verify/timing/measure.py names no contenders for this backend"
    ]


@pytest.mark.backend("torch", "mlx")
def test_a_whole_model_is_timed_patched_beside_unpatched(monkeypatch):
    pytest.importorskip("transformers", exc_type=ImportError)
    pytest.importorskip("mlx_lm", exc_type=ImportError)
    from tightrope.verify.timing import on_whole_models, whole_models

    monkeypatch.setitem(on_whole_models._CONFIG, "num_hidden_layers", 2)
    rows = whole_models(rounds=2)
    assert [(row.library, row.phase) for row in rows] == [
        (library, phase) for library in ("transformers", "mlx-lm") for phase in ("prefill", "decode")
    ]
    assert all(0 < row.host <= row.whole for row in rows)
    assert all(row.host_ratio > 0 and row.whole_ratio > 0 for row in rows)


WHOLE = [("transformers", "prefill", 1.25, 1.25, 1.5, 1.5), ("mlx-lm", "decode", 0.0005, 0.002, 0.9, 1.25)]


@pytest.fixture
def whole_rows(monkeypatch):
    from tightrope.verify.timing.on_whole_models import WholeRow

    monkeypatch.setattr("tightrope.verify.timing.whole_models", lambda rounds: [WholeRow(*row) for row in WHOLE])


@pytest.mark.usefixtures("whole_rows")
def test_whole_models_are_printed_as_a_table():
    ran = CliRunner().invoke(main, ["bench", "--whole-model"])
    assert [line.split() for line in ran.output.splitlines()[2:]] == [
        ["transformers", "prefill", "1250.00", "ms", "1.50", "1250.00", "ms", "1.50"],
        ["mlx-lm", "decode", "500.0", "µs", "0.90", "2.00", "ms", "1.25"],
    ]
    assert max(map(len, ran.output.splitlines())) <= 80


@pytest.mark.usefixtures("whole_rows")
def test_whole_models_are_written_with_the_documented_fields():
    jsonschema = pytest.importorskip("jsonschema")
    written = json.loads(CliRunner().invoke(main, ["bench", "--whole-model", "--json", "-"]).stdout)
    form = json.loads((ROOT / "docs" / "tightrope.schema.json").read_text())
    jsonschema.Draft202012Validator(form).validate(written)
    assert [one["host_ratio"] for one in written["results"]] == [1.5, 0.9]


CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
"""


def test_a_processor_is_named_with_family_and_model():
    assert named_by(CPUINFO) == "AMD EPYC (family 25, model 17)"


def test_cpuinfo_without_a_name_names_nothing():
    assert named_by("processor\t: 0\nCPU implementer\t: 0x41\n") == ""


@pytest.mark.backend("torch")
def test_a_row_holds_the_fastest_and_the_slowest_round(monkeypatch):
    monkeypatch.setattr(measure, "interleaved", lambda calls, *_: {name: [3.0, 1.0, 2.0] for name in calls})
    for row in measure.run(jobs("torch")[0]):
        assert (row.minimum, row.seconds, row.maximum) == (1.0, 2.0, 3.0)
