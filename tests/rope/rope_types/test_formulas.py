"""Each rope type computes the formula of its paper, and under precision float32 what transformers computes."""

import math

import mpmath
import numpy as np
import pytest

from samples.rope_blocks import BASE, DECLARED, DIM, LLAMA3, LONG, LONGROPE, PAIRS, SHORT, TRAINED, rope
from tightrope import frequencies
from tightrope.rope.scaling.longrope import LongRope

# Plain IEEE float64 arithmetic on correctly rounded powers: at most five roundings after the power, each half an ulp,
# and two more where a difference of near numbers (1 − blend) enlarges one.
FLOAT64_ULPS = 8


def theta(base=BASE, dim=DIM):
    return [mpmath.power(base, mpmath.mpf(-2 * i) / dim) for i in range(dim // 2)]


def yarn_by_the_paper(factor, original, beta_fast=32, beta_slow=1, truncate=True, extrapolation=1):
    """YaRN, arXiv:2309.00071, section 3.2, with the ramp over dimensions of the authors' code."""

    def dimension(rotations):
        return DIM * mpmath.log(original / (rotations * 2 * mpmath.pi)) / (2 * mpmath.log(BASE))

    low, high = dimension(beta_fast), dimension(beta_slow)
    if truncate:
        low, high = mpmath.floor(low), mpmath.ceil(high)
    low, high = max(low, 0), min(high, DIM - 1)
    ramps = [min(max((i - low) / (high - low), 0), 1) for i in range(PAIRS)]
    masks = [(1 - ramp) * mpmath.mpf(extrapolation) for ramp in ramps]
    return [t * mask + t / factor * (1 - mask) for t, mask in zip(theta(), masks, strict=True)]


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


FORMULAS = [
    pytest.param({"rope_type": "default"}, None, theta, id="default"),
    pytest.param({"rope_type": "linear", "factor": 4.0}, None, lambda: [t / 4 for t in theta()], id="linear"),
    pytest.param({"rope_type": "ntk", "factor": 4.0}, None, lambda: ntk_by_the_paper(4), id="ntk"),
    *(
        pytest.param(
            {"rope_type": "qwen_dynamic", "original_max_position_embeddings": TRAINED},
            length,
            lambda growth=growth: ntk_by_the_paper(growth),
            id=f"qwen_dynamic-{length}",
        )
        # 2 ** ceil(log2(L / L0) + 1) - 1, at least 1: the growth is 1 up to L0, 3 up to 2 L0, 7 up to 4 L0.
        for length, growth in ((1, 1), (TRAINED, 1), (TRAINED + 1, 3), (2 * TRAINED, 3), (2 * TRAINED + 1, 7))
    ),
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
        {
            "rope_type": "yarn",
            "factor": 8.0,
            "original_max_position_embeddings": TRAINED,
            "extrapolation_factor": 0.75,
        },
        None,
        lambda: yarn_by_the_paper(8, TRAINED, extrapolation=0.75),
        id="yarn-extrapolation",
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


@pytest.mark.parametrize("block", [item.values[0] for item in FORMULAS], ids=[item.id for item in FORMULAS])
def test_a_block_is_written_as_it_was_read(block):
    parameters = rope(block).scaling
    assert type(parameters).from_block(parameters.to_block()) == parameters


ATTENTION_FACTORS = [
    ({"rope_type": "yarn", "factor": 8.0}, None, 0.1 * math.log(8) + 1),
    ({"rope_type": "yarn", "factor": 1.0}, None, 1.0),
    ({"rope_type": "yarn", "factor": 8.0, "attention_factor": 1.25}, None, 1.25),
    ({"rope_type": "yarn", "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0}, None, 1.0),
    ({"rope_type": "yarn", "factor": 8.0, "attn_factor": 0.5}, None, (0.1 * math.log(8) + 1) * 0.5),
    ({"rope_type": "yarn", "factor": 8.0, "attn_factor": 0.5, "attention_factor": 1.25}, None, 1.25),
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


def test_longrope_has_one_representative_length_on_each_side():
    config = rope({**LONGROPE, "original_max_position_embeddings": TRAINED})
    assert isinstance(config.scaling, LongRope)
    lengths = [config.scaling.effective_length(config, n) for n in (1, TRAINED, TRAINED + 1, 10**6)]
    assert lengths == [TRAINED, TRAINED, TRAINED + 1, TRAINED + 1]
    assert config.scaling.switch_length(config) == TRAINED
