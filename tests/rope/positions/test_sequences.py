"""Builders of text positions, each against the plain definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from draws import rope
from tightrope import RopeConfigError
from tightrope.rope import positions

lengths = st.lists(st.integers(0, 9), min_size=1, max_size=5)


@given(lengths, st.integers(0, 4), st.sampled_from(["left", "right"]))
def test_tokens_of_a_padded_row_count_from_zero(rows, spare, side):
    width = max(rows) + spare
    got = positions.padded(rows, side=side, width=width)
    assert got.shape == (len(rows), width)
    for row, length in zip(got, rows, strict=True):
        tokens = row[width - length :] if side == "left" else row[:length]
        assert tokens.tolist() == list(range(length))


@given(lengths, st.sampled_from(["left", "right"]))
def test_padding_does_not_lengthen_a_row(rows, side):
    got = positions.padded(rows, side=side)
    assert (got.max(axis=1, initial=-1) + 1 <= rows).all()


@given(lengths)
def test_packed_tokens_know_their_place_and_their_length(sequences):
    packed = positions.packed(np.cumsum([0, *sequences]))
    assert packed.positions.tolist() == [at for length in sequences for at in range(length)]
    assert packed.lengths.tolist() == [length for length in sequences for _ in range(length)]


@given(st.integers(0, 30), st.integers(1, 9), st.integers(0, 100))
def test_chunks_are_the_prefill_in_pieces(length, size, start):
    pieces = positions.chunks(length, size, start=start)
    assert [at for piece in pieces for at in piece.tolist()] == list(range(start, start + length))
    assert all(len(piece) == size for piece in pieces[:-1])


@given(st.integers(0, 40), st.integers(1, 9))
def test_a_window_holds_the_latest_keys(length, size):
    held = range(max(0, length - size), length)
    assert positions.window(length, size).tolist() == list(held)
    slots = dict.fromkeys(range(min(length, size)))
    for at in held:
        slots[at % size] = at
    assert positions.window(length, size, ring=True).tolist() == list(slots.values())


@given(st.integers(1, 5), st.integers(0, 4), st.sampled_from(["contiguous", "zigzag"]))
def test_shards_are_the_sequence_dealt_out(count, each, scheme):
    length = 2 * count * each
    shards = positions.shards(length, count, scheme=scheme)
    assert sorted(at for shard in shards for at in shard.tolist()) == list(range(length))
    assert {len(shard) for shard in shards} == {2 * each}


def test_zigzag_shards_are_as_much_causal_work():
    assert [shard.tolist() for shard in positions.shards(8, 2, scheme="zigzag")] == [[0, 1, 6, 7], [2, 3, 4, 5]]
    work = [int((shard + 1).sum()) for shard in positions.shards(48, 4, scheme="zigzag")]
    assert len(set(work)) == 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: positions.padded([3, -1]), r"lengths must be a list of whole numbers >= 0, got \[3, -1\]"),
        (lambda: positions.padded([1.5]), r"lengths must be a list of whole numbers >= 0, got \[1.5\]"),
        (lambda: positions.padded([3], width=2), r"width must be >= the longest row \(3\), got 2"),
        (lambda: positions.padded([3], side="top"), "side must be one of 'left', 'right', got 'top'"),
        (lambda: positions.packed([1, 3]), r"cu_seqlens must start at 0 and not fall, got \[1, 3\]"),
        (lambda: positions.packed([0, 3, 2]), r"not fall, got \[0, 3, 2\]"),
        (lambda: positions.packed([]), r"cu_seqlens must start at 0"),
        (lambda: positions.chunks(3, 0), "size must be a whole number >= 1, got 0"),
        (lambda: positions.window(-1, 3), "length must be a whole number >= 0, got -1"),
        (lambda: positions.shards(7, 2), "length must be a multiple of 2 for 2 contiguous shards, got 7"),
        (lambda: positions.shards(6, 2, scheme="zigzag"), "multiple of 4 for 2 zigzag shards, got 6"),
        (
            lambda: positions.shards(8, 2, scheme="ring"),
            "scheme must be one of 'contiguous', 'zigzag', 'striped', got 'ring'",
        ),
        (lambda: positions.shards(8, True), "count must be a whole number >= 1, got True"),
        (lambda: positions.padded([3, 5], width="8"), "width must be a whole number >= 0, got '8'"),
    ],
)
def test_what_cannot_be_built_is_refused(build, message):
    with pytest.raises(RopeConfigError, match=message):
        build()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(np.arange(3.0) + 0.5, "whole numbers"), (np.zeros((2, 2), bool), "of an integer dtype")],
    ids=["fractions", "flags"],
)
def test_what_is_no_position_is_refused_by_backends(backend, wrong, message):
    module = backend.RotaryEmbedding(rope())
    with pytest.raises(RopeConfigError, match=f"positions must be {message}"):
        module.cos_sin(wrong)
