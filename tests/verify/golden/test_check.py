"""`golden check`: the machine that wrote a file agrees with it, and what differs is found and measured."""

import json

import numpy as np
import pytest

import tightrope
from samples.golden_files import CONFIGURATIONS, model, rewritten
from tightrope.verify import golden
from tightrope.verify.golden import file
from tightrope.verify.parity.subjects import OnDevice

pytest.importorskip("safetensors.numpy")


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_machine_that_wrote_a_file_agrees_with_it_bit_for_bit(name, golden_subject, tmp_path):
    golden.write(tmp_path / "a.safetensors", model(name), golden_subject)
    report = golden.check(tmp_path / "a.safetensors", [golden_subject])
    assert report.identical
    assert report.agrees
    assert {one.rope for one in report.findings} == set(model(name).ropes)


@pytest.mark.backend("torch", "mlx")
def test_each_backend_agrees_with_what_the_other_wrote(tmp_path):
    subjects = [OnDevice(tightrope.load_backend(name), "cpu") for name in ("torch", "mlx")]
    golden.write(tmp_path / "a.safetensors", model(), subjects[0])
    report = golden.check(tmp_path / "a.safetensors", subjects[1:])
    assert report.agrees, [one for one in report.findings if not one.agrees]
    assert {one.subject for one in report.findings} == {"core", "mlx:cpu"}


def flip_one_bit(name):
    def change(arrays):
        arrays[name] = arrays[name].copy()
        arrays[name].view(np.uint8)[..., 0] ^= 1

    return change


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("default/frequencies/exact/1048576 tokens/inv_freq", "frequencies"),
        ("default/angles/exact/below 16384/sin", "angles"),
        ("default/trajectory/row/prefill, decode, reset/cos", "trajectory"),
        ("default/rotation/bfloat16/rows/k", "rotation"),
        ("default/gradient/float16/rows/q", "gradient"),
    ],
)
def test_one_bit_of_difference_is_found(name, kind, golden_path, golden_subject):
    rewritten(golden_path, flip_one_bit(name))
    report = golden.check(golden_path, [golden_subject])
    assert not report.identical
    assert {one.kind for one in report.findings if one.identical < one.calls} == {kind}


@pytest.mark.parametrize(
    ("name", "kind", "ulps"),
    [
        ("default/angles/exact/below 16384/cos", "angles", 2),
        ("default/trajectory/row/prefill, decode, reset/sin", "trajectory", 2),
        ("default/rotation/float32/rows/q", "rotation", 7),
        ("default/gradient/float32/rows/k", "gradient", 7),
    ],
)
def test_a_difference_beyond_rounding_disagrees(name, kind, ulps, golden_path, golden_subject):
    """More ulps of the pair's norm than two backends may lie apart: 1.7 for angles, 4.4 for a float32 rotation.

    No drawn pair of q has a norm above √2.
    """

    def change(arrays):
        arrays[name] = arrays[name] + np.float32(ulps * 2**-23)

    rewritten(golden_path, change)
    assert [one.kind for one in golden.check(golden_path, [golden_subject]).findings if not one.agrees] == [kind]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_disagree(value, golden_path, golden_subject):
    def change(arrays):
        arrays["default/angles/exact/below 16384/cos"] = np.full((1, 64, 4), value, np.float32)

    rewritten(golden_path, change)
    assert [one.kind for one in golden.check(golden_path, [golden_subject]).findings if not one.agrees] == ["angles"]


class Broken(OnDevice):
    """A backend that fails in the gradient."""

    def gradient(self, *arguments):
        raise ZeroDivisionError("a framework's own error")


def test_what_a_framework_raises_is_a_finding(golden_path, golden_subject):
    report = golden.check(golden_path, [Broken(golden_subject.backend, golden_subject.device)])
    problems = {one.kind: one.problem for one in report.findings if not one.agrees}
    assert problems == {"gradient": "ZeroDivisionError: a framework's own error"}


def test_a_report_without_findings_does_not_agree(golden_path):
    report = golden.GoldenReport(file.load(golden_path)[0], ())
    assert not report.agrees
    assert not report.identical


def test_report_is_json(golden_path, golden_subject):
    rewritten(golden_path, flip_one_bit("default/angles/exact/below 16384/sin"))
    report = golden.check(golden_path, [Broken(golden_subject.backend, golden_subject.device)])
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert (told["agrees"], told["identical"]) == (False, False)
    assert {one["ulps"] for one in told["findings"] if one["problem"]} == {None}
