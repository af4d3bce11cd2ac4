"""The sweep can fail: on either backend, at any stretch of positions, in either spelling, for q and for k."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("transformers")

import tightrope
from sweep.agreement import by_reference
from sweep.judging import Judge
from sweep.running import BACKENDS, DRIVEN, cases, judge
from sweep.spelling import spellings

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers warns about its own defaults

FAMILY = "mistral"
STARTS = (0, 4096, 32_768, 131_072)
# Families of transformers 5 alone, whose classes read no old spelling, and those that never had rope parameters.
ONE_SPELLING = {
    "beam", "clvp", "codegen", "cohere_compass", "diffusion_gemma", "embedding_gemma2", "esm", "gemma4",
    "gemma4_unified", "gptj", "laguna", "lfm3", "mellum", "mimo_v2_flash", "neomme", "roformer", "zaya",
}  # fmt: skip


def of_tokens(family):
    return [case for case in cases(family) if case.content != "patches"]


def default():
    """The default configuration of a family that has one rope."""
    return next(case for case in cases(FAMILY) if case.variant == "default")


def off(rotate, which, start):
    """A rotation that is wrong for q or k, from a position on and for a few positions after it."""

    def wrong(config, q, k, positions):
        rotated = list(rotate(config, q, k, positions))
        here = (positions >= start) & (positions < start + 16)
        rotated["qk".index(which)] = np.where(here[:, None, :, None], 0, rotated["qk".index(which)])
        return rotated

    return wrong


def test_the_reference_in_place_of_both_backends_agrees():
    assert Judge(dict.fromkeys(BACKENDS, by_reference)).judge(default()).status == "agree"


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("which", "qk")
@pytest.mark.parametrize("broken", BACKENDS)
def test_one_backend_wrong_at_a_few_positions_differs(broken, which, start):
    rotations = dict.fromkeys(BACKENDS, by_reference) | {broken: off(by_reference, which, start)}
    verdict = Judge(rotations).judge(default())
    assert verdict.status == "differs"
    assert f"{broken}: {which}" in verdict.text


@pytest.mark.parametrize("spelling", ["rope_parameters", "rope_theta"])
@pytest.mark.parametrize(
    "change", [{"base": 10_001.0}, {"rotary_dim": 64}, {"layout": "interleaved"}, {"direction": -1}], ids=str
)
def test_one_spelling_read_as_another_rope_differs(monkeypatch, spelling, change):
    right = tightrope.read

    def wrong(values):
        model = right(values)
        return model.replace(**change) if values.get(spelling) is not None else model

    monkeypatch.setattr("sweep.judging.tightrope.read", wrong)
    verdict = Judge(dict.fromkeys(BACKENDS, by_reference)).judge(default())
    assert verdict.status == "differs"
    assert verdict.text.startswith(spelling)


def test_a_layer_without_position_that_transformers_rotates_differs(monkeypatch):
    right = tightrope.read
    monkeypatch.setattr(
        "sweep.judging.tightrope.read", lambda values: replace(right(values), ropes={}, layers=(None,) * 32)
    )
    assert Judge(dict.fromkeys(BACKENDS, by_reference)).judge(default()).status == "differs"


@pytest.mark.backend(*BACKENDS)
def test_the_sweep_asks_both_backends():
    assert set(judge().rotations) == set(BACKENDS)


@pytest.mark.parametrize("family", DRIVEN)
def test_every_rope_is_tried_at_short_and_at_long_positions(family):
    for case in of_tokens(family):
        seen = np.concatenate([positions.ravel() for positions in case.positions()])
        for start in STARTS:
            assert ((start <= seen) & (seen < start + 64)).any()


@pytest.mark.parametrize("family", DRIVEN)
def test_every_family_is_tried_in_both_spellings(family):
    """A configuration class that reads the old spelling back is given it in its own default configuration at least."""
    tokens = [case for case in of_tokens(family) if case.variant == "default"]
    old = any("rope_theta" in spellings(case) for case in tokens)
    assert not tokens or old == (family not in ONE_SPELLING)
