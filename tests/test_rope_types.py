"""Each rope type computes the formula of its paper, refuses what cannot be right, and agrees with transformers."""

import math
from dataclasses import dataclass

import mpmath
import numpy as np
import pytest

from tightrope import RopeConfig, RopeConfigError, Scaling, frequencies, rope_type
from tightrope.rope import scaling
from tightrope.rope.scaling import base as registry
from tightrope.rope.scaling import find_type, number, rope_types
from tightrope.rope.scaling.llama3 import Llama3
from tightrope.rope.scaling.longrope import LongRope
from tightrope.rope.scaling.yarn import Yarn

DIM = 64
PAIRS = DIM // 2
BASE = 500_000.0
TRAINED = 4096
DECLARED = 32_768
SHORT = tuple(1.0 + 0.01 * i for i in range(PAIRS))
LONG = tuple(1.0 + 0.75 * i for i in range(PAIRS))

# Plain IEEE float64 arithmetic on correctly rounded powers: at most five roundings after the power, each half an ulp,
# and two more where a difference of near numbers (1 − blend) enlarges one.
FLOAT64_ULPS = 8


def rope(block=None, **changes):
    fields = {"head_dim": DIM, "rotary_dim": DIM, "base": BASE, "layout": "half", "max_position_embeddings": DECLARED}
    config = RopeConfig(**{**fields, **changes})
    return config if block is None else config.replace(scaling=block)


def theta(base=BASE, dim=DIM):
    return [mpmath.power(base, mpmath.mpf(-2 * i) / dim) for i in range(dim // 2)]


def yarn_by_the_paper(factor, original, beta_fast=32, beta_slow=1, truncate=True):
    """YaRN, arXiv:2309.00071, section 3.2, with the ramp over dimensions of the authors' code."""

    def dimension(rotations):
        return DIM * mpmath.log(original / (rotations * 2 * mpmath.pi)) / (2 * mpmath.log(BASE))

    low, high = dimension(beta_fast), dimension(beta_slow)
    if truncate:
        low, high = mpmath.floor(low), mpmath.ceil(high)
    low, high = max(low, 0), min(high, DIM - 1)
    ramps = [min(max((i - low) / (high - low), 0), 1) for i in range(PAIRS)]
    return [t * (1 - ramp) + t / factor * ramp for t, ramp in zip(theta(), ramps, strict=True)]


def llama3_by_meta(factor, low, high, original):
    """Return Llama 3.1's frequencies, case by case as Meta's apply_scaling."""
    result = []
    for t in theta():
        wavelength = 2 * mpmath.pi / t
        if wavelength < original / mpmath.mpf(high):
            result.append(t)
        elif wavelength > original / mpmath.mpf(low):
            result.append(t / factor)
        else:
            smooth = (original / wavelength - low) / mpmath.mpf(high - low)
            result.append((1 - smooth) * t / factor + smooth * t)
    return result


def ntk_by_the_paper(growth):
    return theta(BASE * mpmath.power(growth, mpmath.mpf(DIM) / (DIM - 2)))


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}

FORMULAS = [
    pytest.param({"rope_type": "default"}, None, theta, id="default"),
    pytest.param({"rope_type": "linear", "factor": 4.0}, None, lambda: [t / 4 for t in theta()], id="linear"),
    pytest.param({"rope_type": "ntk", "factor": 4.0}, None, lambda: ntk_by_the_paper(4), id="ntk"),
    pytest.param({"rope_type": "dynamic", "factor": 2.0}, DECLARED, theta, id="dynamic-at-the-original-length"),
    pytest.param(
        {"rope_type": "dynamic", "factor": 2.0},
        DECLARED + 1,
        lambda: ntk_by_the_paper(2 * mpmath.mpf(DECLARED + 1) / DECLARED - 1),
        id="dynamic-one-token-beyond",
    ),
    pytest.param(
        {"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": TRAINED},
        100_000,
        lambda: ntk_by_the_paper(2 * mpmath.mpf(100_000) / TRAINED - 1),
        id="dynamic-with-its-own-original-length",
    ),
    pytest.param(
        {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": TRAINED},
        None,
        lambda: yarn_by_the_paper(8, TRAINED),
        id="yarn",
    ),
    pytest.param(
        {"rope_type": "yarn", "original_max_position_embeddings": TRAINED},
        None,
        lambda: yarn_by_the_paper(mpmath.mpf(DECLARED) / TRAINED, TRAINED),
        id="yarn-factor-from-lengths",
    ),
    pytest.param(
        {"rope_type": "yarn", "factor": 4.0}, None, lambda: yarn_by_the_paper(4, DECLARED), id="yarn-no-original"
    ),
    pytest.param(
        {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": TRAINED, "truncate": False},
        None,
        lambda: yarn_by_the_paper(8, TRAINED, truncate=False),
        id="yarn-not-truncated",
    ),
    pytest.param(
        {
            "rope_type": "yarn",
            "factor": 8.0,
            "original_max_position_embeddings": TRAINED,
            "beta_fast": 16,
            "beta_slow": 2,
        },
        None,
        lambda: yarn_by_the_paper(8, TRAINED, 16, 2),
        id="yarn-betas",
    ),
    pytest.param({"rope_type": "llama3", **LLAMA3}, None, lambda: llama3_by_meta(8, 1, 4, 8192), id="llama3"),
    pytest.param(
        {"rope_type": "llama3", **LLAMA3, "low_freq_factor": 4.0},
        None,
        lambda: [t if 2 * mpmath.pi / t < 2048 else t / 8 for t in theta()],
        id="llama3-without-a-band",
    ),
    pytest.param(
        {
            "rope_type": "longrope",
            "short_factor": SHORT,
            "long_factor": LONG,
            "original_max_position_embeddings": TRAINED,
        },
        TRAINED,
        lambda: [t / s for t, s in zip(theta(), SHORT, strict=True)],
        id="longrope-at-the-original-length",
    ),
    pytest.param(
        {
            "rope_type": "longrope",
            "short_factor": SHORT,
            "long_factor": LONG,
            "original_max_position_embeddings": TRAINED,
        },
        TRAINED + 1,
        lambda: [t / s for t, s in zip(theta(), LONG, strict=True)],
        id="longrope-one-token-beyond",
    ),
    pytest.param(
        {"rope_type": "proportional", "partial_rotary_factor": 0.25, "factor": 2.0},
        None,
        lambda: [t / 2 if i < 8 else 0 for i, t in enumerate(theta())],
        id="proportional",
    ),
]


@pytest.mark.parametrize(("block", "seq_len", "formula"), FORMULAS)
def test_formula_of_the_paper(block, seq_len, formula):
    got = frequencies(rope(block), seq_len).inv_freq
    with mpmath.workprec(200):
        expected = np.array([float(value) for value in formula()])
    assert (np.abs(got - expected) <= FLOAT64_ULPS * np.spacing(expected)).all()


ATTENTION_FACTORS = [
    ({"rope_type": "yarn", "factor": 8.0}, None, 0.1 * math.log(8) + 1),
    ({"rope_type": "yarn", "factor": 1.0}, None, 1.0),
    ({"rope_type": "yarn", "factor": 8.0, "attention_factor": 1.25}, None, 1.25),
    ({"rope_type": "yarn", "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0}, None, 1.0),
    (
        {"rope_type": "yarn", "factor": 40, "mscale": 1.0, "mscale_all_dim": 0.707},
        None,
        (0.1 * math.log(40) + 1) / (0.0707 * math.log(40) + 1),
    ),
    ({"rope_type": "yarn", "factor": 40, "mscale": 1.0, "mscale_all_dim": 0.0}, None, 0.1 * math.log(40) + 1),
    ({"rope_type": "yarn", "factor": 40, "mscale": 0.7}, None, 0.1 * math.log(40) + 1),
    (
        {
            "rope_type": "longrope",
            "short_factor": SHORT,
            "long_factor": LONG,
            "original_max_position_embeddings": TRAINED,
        },
        1,
        math.sqrt(1 + math.log(DECLARED / TRAINED) / math.log(TRAINED)),
    ),
    ({"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG}, 1, 1.0),
    ({"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG, "attention_factor": 1.19}, 1, 1.19),
    (
        {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG, "short_mscale": 1.1, "long_mscale": 1.3},
        DECLARED + 1,
        1.3,
    ),
    (
        {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG, "short_mscale": 1.1, "long_mscale": 1.3},
        DECLARED,
        1.1,
    ),
    ({"rope_type": "llama3", **LLAMA3}, None, 1.0),
]


@pytest.mark.parametrize(("block", "seq_len", "expected"), ATTENTION_FACTORS)
def test_attention_factor(block, seq_len, expected):
    assert frequencies(rope(block), seq_len).attention_factor == pytest.approx(expected, rel=1e-15, abs=0)


YARN = {"rope_type": "yarn", "factor": 8.0}
LONGROPE = {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG}

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
    ({**YARN, "facter": 1}, "unknown key 'facter' for rope_type 'yarn'"),
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


@pytest.mark.parametrize("block", [item.values[0] for item in FORMULAS], ids=[item.id for item in FORMULAS])
def test_a_block_is_written_as_it_was_read(block):
    parameters = rope(block).scaling
    assert type(parameters).from_block(parameters.to_block()) == parameters


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


TRANSFORMERS = [
    ({"rope_type": "linear", "factor": 4.0}, (None,)),
    ({"rope_type": "dynamic", "factor": 4.0}, (1, DECLARED, DECLARED + 1, 100_000)),
    ({"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": TRAINED}, (None,)),
    ({"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": TRAINED, "truncate": False}, (None,)),
    (
        {"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": TRAINED, "mscale": 0.707,
         "mscale_all_dim": 1.0},
        (None,),
    ),
    (
        {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": TRAINED, "beta_fast": 1.0,
         "beta_slow": 1.0},
        (None,),
    ),
    (
        {"rope_type": "longrope", "short_factor": list(SHORT), "long_factor": list(LONG),
         "original_max_position_embeddings": TRAINED},
        (1, TRAINED, TRAINED + 1),
    ),
    ({"rope_type": "llama3", **LLAMA3}, (None,)),
    ({"rope_type": "proportional", "partial_rotary_factor": 0.25, "factor": 2.0}, (None,)),
]  # fmt: skip


@pytest.mark.backend("torch")
@pytest.mark.parametrize(("block", "lengths"), TRANSFORMERS)
@pytest.mark.parametrize("base", [10_000.0, BASE])
def test_float32_agrees_with_transformers(block, lengths, base):
    """At most two float32 ulp apart: torch's power may be one off, and a division carries that on."""
    rope_utils = pytest.importorskip("transformers.modeling_rope_utils")
    from transformers import LlamaConfig

    theirs = LlamaConfig(
        hidden_size=4 * DIM,
        num_attention_heads=4,
        head_dim=DIM,
        max_position_embeddings=DECLARED,
        rope_parameters={"rope_theta": base, **block},
    )
    ours = rope(block, base=base)
    for length in lengths:
        inv_freq, factor = rope_utils.ROPE_INIT_FUNCTIONS[block["rope_type"]](theirs, "cpu", seq_len=length)
        got = frequencies(ours, length, precision="float32")
        expected = inv_freq.numpy()
        assert (np.abs(got.inv_freq - expected) <= 2 * np.spacing(expected)).all()
        assert got.attention_factor == pytest.approx(factor, rel=1e-15, abs=0)


def test_longrope_has_one_representative_length_on_each_side():
    config = rope({**LONGROPE, "original_max_position_embeddings": TRAINED})
    assert isinstance(config.scaling, LongRope)
    lengths = [config.scaling.effective_length(config, n) for n in (1, TRAINED, TRAINED + 1, 10**6)]
    assert lengths == [TRAINED, TRAINED, TRAINED + 1, TRAINED + 1]
    assert config.scaling.switch_length(config) == TRAINED
