"""The schedule of frequencies: which table a row takes, by either policy, and what that costs nothing to ask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from draws import DYNAMIC, LONGROPE, ORIGINAL, rope
from tightrope import RopeConfigError, frequencies
from tightrope.rope.schedule import FrequencySchedule, TableChoice, document_lengths


def schedule(scaling, policy="row", switch="auto"):
    return FrequencySchedule(rope(max_position_embeddings=ORIGINAL).replace(scaling=scaling), policy, switch)


lengths = st.lists(st.integers(0, 4 * ORIGINAL), min_size=1, max_size=6)


@given(lengths)
def test_a_static_type_never_changes(lengths):
    for policy in ("row", "transformers"):
        static = schedule({"rope_type": "linear", "factor": 2.0}, policy)
        assert static.plan(lengths, static.start) == (TableChoice((None,)), None)


@pytest.mark.parametrize(
    ("length", "table"), [(ORIGINAL - 1, ORIGINAL), (ORIGINAL, ORIGINAL), (ORIGINAL + 1, ORIGINAL + 1)]
)
@pytest.mark.parametrize("policy", ["row", "transformers"])
def test_longrope_is_long_from_one_past_the_original_length(policy, length, table):
    assert schedule(LONGROPE, policy).plan([length], None)[0] == TableChoice((table,))


@pytest.mark.parametrize(("switch", "table"), [("short", ORIGINAL), ("long", ORIGINAL + 1)])
def test_a_chosen_side_never_changes(switch, table):
    chosen = schedule(LONGROPE, switch=switch)
    for length in (1, ORIGINAL, ORIGINAL + 1, 1000):
        assert chosen.plan([length], None) == (TableChoice((table,)), None)


@pytest.mark.parametrize("scaling", [LONGROPE, DYNAMIC], ids=["longrope", "dynamic"])
@given(lengths)
def test_by_row_each_row_has_the_table_of_its_own_length(scaling, lengths):
    by_row = schedule(scaling)
    plan, _ = by_row.plan(lengths, by_row.start)
    rows = plan.rows or (0,) * len(lengths)
    for length, row in zip(lengths, rows, strict=True):
        assert frequencies(by_row.config, plan.lengths[row]) is frequencies(by_row.config, length)
    assert len(plan.lengths) <= len(lengths)


def test_rows_share_tables_where_at_most_half_differ():
    plan, _ = schedule(DYNAMIC).plan([20, 30, 20, 30, 20], None)
    assert plan == TableChoice((20, 30), (0, 1, 0, 1, 0))


@given(st.lists(lengths, min_size=2, max_size=5))
def test_by_row_history_does_not_count(calls):
    by_row = schedule(DYNAMIC)
    state = by_row.start
    for call in calls:
        plan, state = by_row.plan(call, state)
        assert plan == schedule(DYNAMIC).plan(call, None)[0]
    assert state is None


# longest of the batch → length whose table holds afterwards
GROWING = [(10, 16), (17, 17), (40, 40), (20, 40), (16, 40), (15, 16), (17, 17)]


def test_as_transformers_it_grows_stays_and_is_reset():
    history = schedule(DYNAMIC, "transformers")
    state = history.start
    for longest, holds in GROWING:
        plan, state = history.plan([3, longest, 5], state)
        assert plan == TableChoice((holds,))
        assert state == holds


def test_as_transformers_longrope_follows_the_longest_row_and_forgets():
    history = schedule(LONGROPE, "transformers")
    assert history.plan([3, 17], None) == (TableChoice((17,)), None)
    assert history.plan([3, 16], None) == (TableChoice((16,)), None)


@pytest.mark.parametrize("wrong", [{"policy": "batch"}, {"switch": "never"}])
def test_an_unknown_word_is_refused(wrong):
    with pytest.raises(RopeConfigError, match=f"{next(iter(wrong))} must be one of"):
        schedule(LONGROPE, **wrong)


def test_what_is_remembered_of_lengths_stays_bounded():
    by_row = schedule(DYNAMIC)
    for first in range(0, 100_000, 500):
        by_row.plan(range(first, first + 500), None)
    assert len(by_row._keys) <= 5000


def test_a_document_ends_where_positions_do_not_increase():
    rows = np.array([[0, 1, 2, 0, 1, 0, 0], [1, 1, 0, 1, 2, 3, 9]])
    assert document_lengths(rows).tolist() == [[3, 3, 3, 2, 2, 1, 1], [2, 2, 10, 10, 10, 10, 10]]


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_no_tokens_have_no_documents(shape):
    assert document_lengths(np.zeros(shape, np.int64)).shape == shape


def test_an_empty_batch_has_a_table():
    assert schedule(DYNAMIC).plan([], None)[0] == TableChoice((ORIGINAL,))
