"""What a rope type asks for: refusals by name, blocks that come back as they were read, types of the user's own."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from samples.rope_blocks import DECLARED, LLAMA3, LONG, LONGROPE, PAIRS, SHORT, YARN, rope
from tightrope import RopeConfigError, Scaling, frequencies, rope_type
from tightrope.rope import scaling
from tightrope.rope.scaling import find_type, number, registry, rope_types
from tightrope.rope.scaling.llama3 import Llama3
from tightrope.rope.scaling.yarn import Yarn

BAD = [
    ({"rope_type": "linear"}, "factor is required by rope_type 'linear'"),
    ({"rope_type": "linear", "factor": 0.5}, "factor must be >= 1, got 0.5"),
    ({"rope_type": "linear", "factor": "4"}, "factor must be a finite number, got '4'"),
    ({"rope_type": "linear", "factor": True}, "factor must be a finite number, got True"),
    ({"rope_type": "linear", "factor": math.nan}, "factor must be a finite number, got nan"),
    ({"rope_type": "linear", "factor": math.inf}, "factor must be a finite number, got inf"),
    ({"rope_type": "liner", "factor": 2}, "unknown rope_type 'liner'; did you mean 'linear'?"),
    ({"rope_type": "zzz"}, "unknown rope_type 'zzz'; known: default"),
    ({**YARN, "beta_fast": 1, "beta_slow": 2}, "beta_fast must be >= beta_slow (2), got 1"),
    ({**YARN, "attention_factor": 0}, "attention_factor must be > 0, got 0"),
    ({**YARN, "truncate": 1}, "truncate must be true or false, got 1"),
    ({**YARN, "original_max_position_embeddings": 0.5}, "original_max_position_embeddings must be a whole number"),
    ({**YARN, "facter": 1}, "unknown key 'facter' for rope_type 'yarn'; did you mean 'factor'?"),
    ({"rope_type": "linear", "zzz": 1}, "unknown key 'zzz' for rope_type 'linear'"),
    ({"rope_type": "yarn"}, "needs factor or original_max_position_embeddings"),
    ({"rope_type": "yarn", "original_max_position_embeddings": 2 * DECLARED}, "must be >= original_max_position"),
    ({**LONGROPE, "short_factor": SHORT[1:]}, "short_factor must have one entry per rotated pair (32), got 31"),
    ({**LONGROPE, "long_factor": [0.0] * PAIRS}, "long_factor must be > 0, got 0.0"),
    ({**LONGROPE, "long_factor": 3.0}, "long_factor must be a list of finite numbers, got 3.0"),
    ({**LONGROPE, "short_mscale": 1.2}, "short_mscale and long_mscale must be given together"),
    ({"rope_type": "llama3", **LLAMA3, "high_freq_factor": 0.5}, "high_freq_factor must be >= low_freq_factor (1)"),
    ({"rope_type": "llama3", **LLAMA3, "low_freq_factor": 0}, "low_freq_factor must be > 0, got 0"),
    ({"rope_type": "proportional", "partial_rotary_factor": 1.5}, "partial_rotary_factor must be <= 1, got 1.5"),
]


@pytest.mark.parametrize(("block", "message"), BAD)
def test_what_cannot_be_right_is_refused(block, message):
    with pytest.raises(RopeConfigError) as caught:
        rope(block)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "block",
    [
        {"rope_type": "dynamic", "factor": 2.0},
        {"rope_type": "yarn", "factor": 2.0},
        {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG},
        {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    ],
)
def test_a_type_that_needs_a_length_says_so(block):
    with pytest.raises(RopeConfigError, match="max_position_embeddings"):
        rope(block, max_position_embeddings=None)


@pytest.mark.parametrize("name", ["ntk", "dynamic"])
def test_an_ntk_base_needs_more_than_one_pair(name):
    with pytest.raises(RopeConfigError, match="rotary_dim must be > 2"):
        rope({"rope_type": name, "factor": 2.0}, rotary_dim=2)


def test_all_problems_of_a_block_at_once():
    with pytest.raises(RopeConfigError) as caught:
        Llama3.from_block({"factor": 0.1, "low_freq_factor": "x"})
    assert len(caught.value.problems) == 3


def test_a_remark_where_something_allowed_is_odd():
    odd = Llama3(factor=8.0, low_freq_factor=1.0, high_freq_factor=1.0, original_max_position_embeddings=8192)
    assert list(odd.remarks(rope())) == ["high_freq_factor equals low_freq_factor: no blend; pairs are divided or kept"]


@pytest.mark.parametrize("name", ["default", "linear", "ntk", "dynamic", "yarn", "longrope", "llama3", "proportional"])
def test_every_rope_type_of_the_field_is_registered(name):
    assert name in rope_types()


@pytest.fixture
def own_type():
    """A type of the user's own, removed again."""

    @rope_type("halved in a test")
    @dataclass(frozen=True, kw_only=True)
    class Halved(Scaling):
        strength: float = number(2.0, at_least=1)

        def frequencies(self, rope, arithmetic, seq_len):
            return arithmetic.powers(rope.base, rope.exponent_dim, rope.pairs) / self.strength, 1.5

    yield Halved
    del registry._REGISTRY["halved in a test"]


def test_a_registered_type_works_like_a_built_in_one(own_type):
    freqs = frequencies(rope({"rope_type": "halved in a test", "strength": 4.0}))
    assert freqs.inv_freq.tolist() == (frequencies(rope()).inv_freq / 4).tolist()
    assert freqs.attention_factor == 1.5
    assert scaling.find_type("halved in a test") is own_type


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            lambda own: own,
            r"must return \(inv_freq, attention_factor\), got ndarray alone; end .* 'return inv_freq, 1.0'",
        ),
        (lambda own: (own, 1.0, 2), r"must return \(inv_freq, attention_factor\), got 3 values"),
        (lambda own: (list(own), 1.0), "must return inv_freq as floats of numpy"),
        (lambda own: (own, None), "attention_factor of rope_type 'halved in a test' must be a finite number"),
        (lambda own: None, "got NoneType alone"),
    ],
    ids=["frequencies alone", "three", "a list", "no factor", "nothing"],
)
def test_what_an_own_type_forgets_is_told_in_words(own_type, monkeypatch, given, words):
    monkeypatch.setattr(own_type, "frequencies", lambda self, rope, arithmetic, seq_len: given(np.ones(rope.pairs)))
    with pytest.raises(RopeConfigError, match=words):
        frequencies(rope({"rope_type": "halved in a test"}))


def test_a_taken_name_is_refused():
    class Impostor(Yarn):
        pass

    with pytest.raises(RopeConfigError, match="'yarn' is taken by Yarn"):
        rope_type("yarn")(Impostor)
    assert find_type("yarn") is Yarn


def test_a_type_of_the_wrong_width_is_caught(own_type, monkeypatch):
    monkeypatch.setattr(own_type, "frequencies", lambda self, rope, arithmetic, seq_len: (np.ones(3), 1.0))
    with pytest.raises(RopeConfigError, match="must give 32 frequencies, got shape"):
        frequencies(rope({"rope_type": "halved in a test"}))
