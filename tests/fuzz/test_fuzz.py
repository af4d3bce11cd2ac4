"""Whatever bytes a reader gets, it gives a result or a RopeError: past failures, and mutations of valid inputs.

A few seconds of what `tests/fuzz/run.py` does for hours.
"""

import itertools

import pytest

import fuzz_inputs
import run
from fuzz_inputs import CORPUS, mutated, seeds
from fuzz_targets import TARGETS, refused

NEEDS = {"gguf": "gguf", "golden": "safetensors"}
COUNTS = {"dict": 3000, "json": 2000, "gguf": 2000, "golden": 500, "command": 150}


@pytest.fixture(params=TARGETS)
def target(request):
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    return request.param


KEPT = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_a_failure_of_the_past_stays_fixed(path):
    kind = path.parent.name
    for target in ("json", "dict") if kind == "json" else (kind,):
        TARGETS[target](path.read_bytes())


def test_an_input_that_fails_is_kept_where_the_next_run_finds_it(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz_inputs, "CORPUS", tmp_path)
    for kind in ("json", "gguf"):
        (tmp_path / kind).mkdir()
    run.keep("dict", b"{}")
    run.keep("gguf", b"GGUF")
    assert b"{}" in seeds("json")
    assert b"{}" in seeds("dict")
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


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
