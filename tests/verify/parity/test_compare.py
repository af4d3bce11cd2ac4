"""Parity passes a right backend and finds every kind of wrong one."""

import math

import numpy as np
import pytest

from numpy_backend import NumpyBackend, llama
from tightrope.rope.config import ModelRope
from tightrope.rope.config.mrope import MRope
from tightrope.rope.frequencies import frequencies
from tightrope.rope.schedule import POLICIES
from tightrope.verify.parity import OnDevice, checks, compare_model, probes, run
from tightrope.verify.parity.cases import Call, lengths, probe_calls

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 8,
    "long_factor": [1.0 + i for i in range(8)],
    "original_max_position_embeddings": 1024,
}
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0}

ROPES = {
    "default": llama(),
    "interleaved": llama(layout="interleaved"),
    "partial": llama(rotary_dim=8),
    "tail": llama(rotary_dim=8, side="tail"),
    "backwards": llama(direction=-1),
    "no length": llama(max_position_embeddings=None),
    "mrope": llama(mrope=MRope(sections=(2, 3, 3))),
    "slow pairs": llama(base=1e12).replace(scaling={**YARN, "factor": 48.0}),
    "yarn": llama().replace(scaling=YARN),
    "dynamic": llama().replace(scaling=DYNAMIC),
    "longrope": llama().replace(scaling=LONGROPE),
    "standing pairs": llama().replace(scaling={"rope_type": "proportional", "partial_rotary_factor": 0.5}),
}


def model(rope):
    return ModelRope(ropes={"default": rope}, layers=("default",), model_type="llama")


def report(rope, *backends, **options):
    return compare_model(model(rope), [OnDevice(backend, "cpu") for backend in backends], **options)


@pytest.mark.parametrize("rope", ROPES.values(), ids=ROPES)
def test_a_right_backend_agrees(rope):
    found = report(rope, NumpyBackend("a"), NumpyBackend("b"))
    assert found.verdict == "agree", found.failures[0]


@pytest.mark.parametrize("rope", ROPES.values(), ids=ROPES)
def test_every_kind_is_compared_with_exact_arithmetic_and_between_backends(rope):
    found = {
        (one.kind, one.numbers, one.right) for one in report(rope, NumpyBackend("a"), NumpyBackend("b")).comparisons
    }
    kinds = {(kind, precision) for kind in ("frequencies", "angles") for precision in ("exact", "float32")}
    kinds |= {(kind, dtype) for kind in ("rotation", "gradient") for dtype in ("float32", "bfloat16", "float16")}
    assert {(*kind, right) for kind in kinds for right in ("exact", "b:cpu")} <= found


def with_nan(y, x):
    y = y.copy()
    y[..., 0] = np.nan
    return y


def touched(y, x):
    y = y.copy()
    y[..., -1] = np.nextafter(y[..., -1], np.float32(0))
    return y


FAULTS = {
    "another base": (llama(), {"rope": lambda rope: rope.replace(base=math.nextafter(rope.base, 0))}, "frequencies"),
    "the other sign": (llama(), {"rope": lambda rope: rope.replace(direction=-1)}, "frequencies"),
    "no scaling": (ROPES["yarn"], {"rope": lambda rope: llama()}, "frequencies"),
    "sin for cos": (llama(), {"cos_sin": lambda cos, sin: (sin, cos)}, "angles"),
    "cos 2 ulp off": (llama(), {"cos_sin": lambda cos, sin: (cos + np.float32(2.4e-7), sin)}, "angles"),
    "no attention factor": (
        ROPES["yarn"],
        {"cos_sin": lambda cos, sin: (cos / np.hypot(cos, sin), sin / np.hypot(cos, sin))},
        "angles",
    ),
    "axes exchanged": (
        ROPES["mrope"],
        {"rope": lambda rope: rope.replace(mrope=MRope(sections=(2, 3, 3), order="interleaved"))},
        "angles",
    ),
    "the other layout": (llama(), {"rope": lambda rope: rope.replace(layout="interleaved")}, "rotation"),
    "the other end": (ROPES["partial"], {"rope": lambda rope: rope.replace(side="tail")}, "rotation"),
    "not rotated": (llama(), {"result": lambda y, x: x}, "rotation"),
    "NaN": (llama(), {"result": with_nan}, "rotation"),
    "a passive channel touched": (ROPES["partial"], {"result": touched, "path": "framework operations"}, "rotation"),
    "one token short": (llama(), {"result": lambda y, x: y[:, :, 1:]}, "rotation"),
    "no memory": (ROPES["dynamic"], {"memory": lambda policy: "row"}, "trajectory"),
    "batch mates": (ROPES["longrope"], {"memory": lambda policy: "transformers"}, "trajectory"),
    "gradient not rotated back": (llama(), {"gradient": lambda gradients: [-g for g in gradients]}, "gradient"),
}


def kinds_that_differ(failures):
    """The kinds of these comparisons; an exception, which would pass for any fault, is none of them."""
    return {one.kind for one in failures if "Error" not in (one.problem or "")}


@pytest.mark.parametrize(("rope", "fault", "kind"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_where_it_is(rope, fault, kind):
    assert kind in kinds_that_differ(report(rope, NumpyBackend(**fault)).failures)


@pytest.mark.parametrize(("rope", "fault", "kind"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found_between_two_backends(rope, fault, kind):
    found = report(rope, NumpyBackend("right"), NumpyBackend("wrong", **fault))
    assert kind in kinds_that_differ(
        one for one in found.failures if (one.left, one.right) == ("right:cpu", "wrong:cpu")
    )


def one_ulp_off(y, x):
    return np.nextafter(y, np.float32(np.inf)) if x.dtype_name == "float32" else y


def test_framework_operations_may_be_an_ulp_off():
    found = report(llama(), NumpyBackend(path="framework operations", result=one_ulp_off))
    assert found.verdict == "agree"


def test_a_kernel_must_give_the_bits_of_the_definition():
    found = report(llama(), NumpyBackend(path="C (avx2)", result=one_ulp_off))
    assert {one.right for one in found.failures} == {"definition"}


def test_two_kernels_must_give_the_same_bits():
    found = report(llama(), NumpyBackend("one"), NumpyBackend("other", result=one_ulp_off))
    assert ("one:cpu", "other:cpu") in {(one.left, one.right) for one in found.failures}


def test_a_backend_that_raises_does_not_stop_the_others():
    def fail(y, x):
        raise RuntimeError("out of registers")

    found = report(llama(), NumpyBackend("broken", result=fail), NumpyBackend("right"))
    assert {one.left for one in found.failures} == {"broken:cpu"}
    assert "RuntimeError: out of registers" in str(found.failures[0])


def test_short_and_long_frequencies_are_both_compared():
    mixed_up = {"rope": lambda rope: rope.replace(scaling={**LONGROPE, "long_factor": LONGROPE["short_factor"]})}
    failing = {one.call for one in report(ROPES["longrope"], NumpyBackend(**mixed_up)).failures}
    assert {"< 1,025", "rows of different lengths", "seq_len 1,025"} <= failing
    assert not {"< 1,024", "seq_len 1,024"} & failing


@pytest.mark.parametrize("name", ["dynamic", "longrope"])
def test_a_rope_that_follows_the_length_is_followed_under_both_policies(name):
    found = [one for one in report(ROPES[name], NumpyBackend()).comparisons if one.kind == "trajectory"]
    steps = {
        policy: [one.call for one in found if (one.numbers, one.right) == (policy, "exact")] for policy in POLICIES
    }
    assert steps["row"] == steps["transformers"]
    assert {"decode past it", "a new sequence", "a batch of short and long rows"} <= set(steps["row"])


def test_a_static_rope_has_no_trajectory():
    assert "trajectory" not in {one.kind for one in report(llama(), NumpyBackend()).comparisons}


def test_without_backends_nothing_agrees():
    found = report(llama())
    assert (found.comparisons, found.verdict) == ((), "disagree")


def test_a_check_that_cannot_fail_is_a_failure():
    still = Call("position 0", np.zeros((1, 4), np.int64), {"positions": np.zeros((1, 4), np.int64)})
    check = next(iter(checks._rotation_checks(llama(), still, "float32", False)))
    found = list(run._compare("default", llama(), check, [OnDevice(NumpyBackend(), "cpu")]))
    assert found
    assert not any(one.agrees for one in found)
    assert "would not notice" in found[0].problem


def test_dtypes_and_max_position_are_obeyed():
    found = report(llama(), NumpyBackend(), dtypes=["float16"], max_position=100).comparisons
    assert {one.numbers for one in found if one.kind == "rotation"} == {"float16"}
    assert {one.call for one in found if one.kind == "angles"} == {"< 100"}


@pytest.mark.parametrize(("max_position", "expected"), [(None, (4096, 1 << 20)), (100, (100,)), (5000, (4096, 5000))])
def test_lengths_of_a_static_rope(max_position, expected):
    assert lengths(llama(), max_position) == expected


def test_lengths_of_a_rope_that_follows_them():
    assert lengths(ROPES["longrope"]) == (1024, 1025, 4096, 1 << 20)


def test_both_layouts_are_compared_where_nobody_knows_which():
    unheard_of = ModelRope(ropes={"default": llama()}, layers=("default",), model_type="unheard-of")
    found = compare_model(unheard_of, [OnDevice(NumpyBackend(), "cpu")])
    assert {one.rope for one in found.comparisons} == {"half", "interleaved"}


@pytest.mark.parametrize("rope", ROPES.values(), ids=ROPES)
def test_frequencies_are_read_off_the_exact_rotation_to_the_last_bit(rope):
    for call in probe_calls(rope, lengths(rope), probes.EXACT_SHIFTS):
        expected = frequencies(rope, call.seq_len).turns
        np.testing.assert_array_equal(probes.measured_turns(run.EXACT, rope, call), expected)


@pytest.mark.parametrize("rope", ROPES.values(), ids=ROPES)
def test_frequencies_are_read_off_the_float32_rotation_to_the_last_bit(rope):
    for call in probe_calls(rope, lengths(rope), probes.FLOAT32_SHIFTS):
        expected = frequencies(rope, call.seq_len, precision="float32").inv_freq
        np.testing.assert_array_equal(probes.measured_inv_freq(run.EXACT, rope, call), expected)
