"""A rope in words: one line, the same everywhere."""

import pytest

from tightrope import MRope, RopeConfig
from tightrope.rope.config import describe

ROPE = RopeConfig(head_dim=128, rotary_dim=64, base=5e5, max_position_embeddings=131_072)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "default, base 500,000, 64 of 128 channels, half"),
        ({"layout": "interleaved", "side": "tail"}, "default, base 500,000, 64 of 128 channels, interleaved, tail"),
        ({"scaling": {"rope_type": "linear", "factor": 2.0}}, "linear, base 500,000, 64 of 128 channels, half"),
    ],
)
def test_a_rope_in_words(changes, words):
    assert describe(ROPE.replace(**changes)) == words


def test_its_context_and_axes_where_they_are_asked_for():
    rope = ROPE.replace(mrope=MRope(sections=(16, 8, 8)))
    assert describe(rope, context=True).endswith("half, 131,072 tokens, 3 position axes")
