"""Whatever bytes a reader gets, it gives a result or a RopeError: past failures, and mutations of valid inputs.

A few seconds of what `tests/fuzz/run.py` does for hours.
"""

import itertools

import pytest

import fuzz_inputs
from fuzz_inputs import CORPUS, mutated, seeds
from fuzz_targets import TARGETS, refused

NEEDS = {"gguf": "gguf", "golden": "safetensors"}
COUNTS = {"dict": 3000, "json": 2000, "gguf": 2000, "golden": 500, "command": 150}


@pytest.fixture(params=TARGETS)
def target(request):
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    return request.param


@pytest.mark.parametrize("path", sorted(CORPUS.rglob("*.*")), ids=lambda path: path.name)
def test_a_failure_of_the_past_stays_fixed(path):
    TARGETS[path.parent.name](path.read_bytes())


def test_mutations_of_valid_inputs_give_a_result_or_an_error_in_words(target):
    for number, data in enumerate(itertools.islice(mutated(target, seeds(target), 1), COUNTS[target])):
        try:
            TARGETS[target](data)
        except Exception as error:
            pytest.fail(f"input {number} of target {target}, {data[:2000]!r}: {error!r}")


def test_valid_inputs_are_read_and_mutations_change_them(target):
    """The targets reach the readers, and what they are given is not the same again and again."""
    start = seeds(target)
    drawn = list(itertools.islice(mutated(target, start, 2), 50))
    assert len(set(drawn)) > 40
    assert not set(drawn) <= set(start)


def test_an_error_that_is_none_of_ours_is_a_failure(monkeypatch):
    def broken(source):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        refused(lambda: broken("config.json"))


def test_the_same_seed_draws_the_same_inputs():
    start = fuzz_inputs.seeds("json")
    first, second = (list(itertools.islice(mutated("json", start, 7), 20)) for _ in range(2))
    assert first == second
