"""`tightrope bench` and `tightrope selftest`: what they print, what they write, and how they exit."""

import json

import pytest
from click.testing import CliRunner

from samples.cli_files import results
from tightrope.cli import main
from tightrope.verify import timing
from tightrope.verify.selftest import session as selftest
from tightrope.verify.selftest.checks import DeviceCheck
from tightrope.verify.selftest.session import Device, SelftestReport

SMALL = ["--backends", "torch:cpu", "--seq", "4", "--dtype", "float32", "--task", "new tensors", "--rounds", "1"]


def run(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.mark.backend("torch")
def test_bench_prints_a_row_for_the_copy_and_for_us():
    ran = run("bench", *SMALL)
    assert ran.exit_code == 0
    above, processor, title, *rows = ran.stdout.splitlines()
    assert above.startswith("1 measurement of 1 round, about ")
    assert processor == f"processor: {timing.processor()}"
    assert title == "torch cpu, new tensors, float32, 4 tokens, bhsd, half"
    assert any(timing.YARDSTICK in row for row in rows)
    assert any(timing.OURS in row for row in rows)


@pytest.mark.backend("torch")
def test_bench_json_has_what_was_asked_for():
    rows = results(run("bench", *SMALL, "--json", "-").stdout)
    assert {(row["task"], row["dtype"], row["seq"]) for row in rows} == {("new tensors", "float32", 4)}
    assert {timing.YARDSTICK, timing.OURS} <= {row["contender"] for row in rows}


FORM = {"order": "bshd", "layout": "interleaved", "rotary_dim": 64, "heads": 4, "kv_heads": 2}


@pytest.mark.backend("torch")
def test_bench_times_the_form_that_was_asked_for():
    options = [word for name, value in FORM.items() for word in (f"--{name.replace('_', '-')}", value)]
    rows = results(run("bench", *SMALL, *options, "--json", "-").stdout)
    assert rows
    assert all({name: row[name] for name in FORM} == FORM for row in rows)


@pytest.mark.backend("torch")
def test_bench_of_more_than_memory_holds_is_one_line():
    # 800 TB of positions: more than a process can address.
    ran = run("bench", *SMALL, "--seq", 10**14)
    assert ran.exit_code == 1
    assert ran.stderr == "Error: there is not enough memory for these tensors; lower --seq or --heads\n"


@pytest.mark.backend("torch")
def test_bench_does_not_take_another_failure_for_a_lack_of_memory(monkeypatch):
    def failed(job, rounds):
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(timing, "run", failed)
    assert isinstance(run("bench", *SMALL).exception, RuntimeError)


@pytest.mark.backend("torch")
def test_bench_hides_no_other_error(monkeypatch):
    def broken(job, rounds):
        raise RuntimeError("the kernel is broken")

    monkeypatch.setattr(timing, "run", broken)
    assert str(run("bench", *SMALL).exception) == "the kernel is broken"


@pytest.mark.backend("torch")
def test_bench_says_who_is_missing(monkeypatch):
    monkeypatch.setattr(timing, "absent", lambda jobs: [f"{jobs[0].backend}: somebody is not installed"])
    assert run("bench", *SMALL).stdout.splitlines()[-1] == "torch: somebody is not installed"


@pytest.mark.backend("torch")
def test_bench_draws(tmp_path):
    pytest.importorskip("matplotlib")
    assert run("bench", *SMALL, "--plot", tmp_path / "bench.png").exit_code == 0
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments", [["--task", "sideways"], ["--seq", "0"], ["--rounds", "0"], ["--backends", "jax"]], ids=" ".join
)
def test_bench_wrong_usage_exits_2(arguments):
    assert run("bench", *arguments).exit_code == 2


def given(monkeypatch, *, passed):
    check = DeviceCheck("a rotation", identical=passed, ulps=0.0 if passed else 7.0, passed=passed)
    report = SelftestReport({"Python": "3"}, (Device("torch", "2", "cpu", "C (avx2)", (check,)),), ("mlx is not here",))
    monkeypatch.setattr(selftest, "run", lambda tell: tell("torch cpu") or report)
    return report


def test_selftest_prints_the_report_and_exits_0(monkeypatch):
    given(monkeypatch, passed=True)
    ran = run("selftest")
    assert ran.exit_code == 0
    machine, heading, device, not_run = ran.output.splitlines()
    assert (machine, not_run) == ("Python 3", "Not run: mlx is not here")
    assert heading.split() == ["backend", "device", "rotates", "by", "checks", "same", "bits", "failed"]
    assert device.split() == ["torch", "2", "cpu", "C", "(avx2)", "1", "1", "0"]


def test_selftest_writes_markdown_to_standard_output(monkeypatch):
    report = given(monkeypatch, passed=True)
    assert run("selftest", "-o", "-").stdout == report.to_markdown()


def test_selftest_exits_1_where_a_check_fails(monkeypatch):
    given(monkeypatch, passed=False)
    ran = run("selftest")
    assert ran.exit_code == 1
    assert "7 ulp off" in ran.stdout


def test_selftest_writes_the_report_and_every_check(tmp_path, monkeypatch):
    report = given(monkeypatch, passed=True)
    ran = run("selftest", "--quiet", "-o", tmp_path / "r.md", "--json", tmp_path / "r.json")
    assert ran.output == ""
    assert (tmp_path / "r.md").read_text() == report.to_markdown()
    assert results((tmp_path / "r.json").read_text()) == [json.loads(json.dumps(report.to_dict()))]


def test_selftest_json_on_standard_output_leaves_it_to_itself(monkeypatch):
    given(monkeypatch, passed=True)
    assert results(run("selftest", "--json", "-").stdout)[0]["passed"] is True
