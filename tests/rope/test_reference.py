"""The oracle itself: float64 against mpmath, the bit model against exact rational arithmetic."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tightrope import MRope, RopeConfig, RopeConfigError, frequencies
from tightrope.rope import reference

POSITIONS = [0, 1, 4095, 131_071, 1_048_575, 9_999_999, 2**31 + 5, -1, -4096]
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)

# Derivation: the polynomial and its float32 evaluation cost 7.53e-8 over all 2³² phases (an exhaustive search); cutting
# the phase to 32 bits costs 2π · 2⁻³², another 1.5e-9.
BITS_ERROR = 7.7e-8
# numpy's float64 cos and sin are good to one ulp; the angle, below π, is rounded to float64 twice.
FLOAT64_ERROR = 1e-15


def rope(**changes):
    return RopeConfig(**{"head_dim": 128, "rotary_dim": 128, "base": 5e5, "layout": "half", **changes})


def true_cos_sin(config, position):
    with mpmath.workprec(300):
        angles = [mpmath.mpf(float(value)) * position for value in frequencies(config).inv_freq]
        return [mpmath.cos(a) for a in angles], [mpmath.sin(a) for a in angles]


def worst(got, expected):
    with mpmath.workprec(300):
        return max(float(abs(mpmath.mpf(float(g)) - e)) for g, e in zip(got, expected, strict=True))


@pytest.mark.parametrize("position", POSITIONS)
def test_float64_cos_and_sin_are_true_at_every_position(position):
    config = rope()
    got = reference.cos_sin(config, [[position]])
    # Rounding inv_freq to turns: half a unit of 2⁻⁶⁴ turns per position.
    allowed = FLOAT64_ERROR + abs(position) * np.pi * 2.0**-64
    for g, expected in zip(got, true_cos_sin(config, position), strict=True):
        assert worst(g[0, 0], expected) <= allowed


@pytest.mark.parametrize("position", POSITIONS)
def test_bit_model_is_close_at_every_position(position):
    config = rope()
    for g, expected in zip(reference.cos_sin_bits(config, [[position]]), true_cos_sin(config, position), strict=True):
        assert worst(g[0, 0], expected) <= BITS_ERROR


def test_bit_model_of_a_phase_is_close_all_around_the_circle():
    phases = np.concatenate([np.arange(0, 2**32, 65_537), np.arange(0, 2**32, 2**29), [2**32 - 1]]).astype(np.uint32)
    cos, sin = reference.sincos_phase(phases)
    angles = phases.astype(np.float64) * (2 * np.pi / 2**32)
    assert np.abs(cos - np.cos(angles)).max() <= BITS_ERROR
    assert np.abs(sin - np.sin(angles)).max() <= BITS_ERROR


def test_quarter_turns_are_exact():
    cos, sin = reference.sincos_phase(np.array([0, 2**30, 2**31, 3 * 2**30], np.uint32))
    assert cos.tolist() == [1, 0, -1, 0]
    assert sin.tolist() == [0, 1, 0, -1]


@given(FLOATS, FLOATS, FLOATS)
@example(0.0, 0.0, float(np.finfo(np.float32).max))  # whose neighbour is infinite
def test_fma_rounds_once(a, b, c):
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    got = float(reference.fma(a, b, c))
    if np.isinf(got):
        assert abs(exact) >= Fraction(float(np.finfo(np.float32).max))
        return
    with np.errstate(over="ignore"):
        neighbours = [float(np.nextafter(np.float32(got), np.float32(side))) for side in (-np.inf, np.inf)]
    assert all(abs(exact - Fraction(got)) <= abs(exact - Fraction(n)) for n in neighbours if np.isfinite(n))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("beside_the_tie", "expected"), [(-1, 1 + 2.0**-23), (1, 1 + 2.0**-22)], ids=["just below", "just above"]
)
def test_fma_does_not_round_twice(sign, beside_the_tie, expected):
    """1 + 3 · 2⁻²⁴ ∓ 2⁻⁷⁰ lies beside a float32 tie, but float64 cannot tell it from the tie."""
    a, b = 1 + 2.0**-23, 2.0**-24 * (1 - 2.0**-23)  # a · b = 2⁻²⁴ − 2⁻⁷⁰
    c = 1 + 2.0**-23
    if beside_the_tie > 0:
        a, c = -a, 1 + 2.0**-22  # c − (2⁻²⁴ − 2⁻⁷⁰) is 2⁻⁷⁰ above the tie below c
    assert reference.fma(sign * a, b, sign * c) == sign * np.float32(expected)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (1.0 + 2.0**-8, "bfloat16", 1.0),  # a tie goes to the even neighbour
        (1.0 + 3 * 2.0**-8, "bfloat16", 1.0 + 2.0**-6),
        (1.0 + 2.0**-11, "float16", 1.0),
        (1.0 + 2.0**-24, "float32", 1.0),
        (-3.3895314e38, "bfloat16", -3.3895314e38),
        (70000.0, "float16", np.inf),
    ],
)
def test_round_to_nearest_even(value, dtype, expected):
    assert reference.round_to(value, dtype) == np.float32(expected)


def test_nan_stays_nan_in_bfloat16():
    assert np.isnan(reference.round_to(np.float32(np.nan), "bfloat16"))


@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("side", ["head", "tail"])
def test_the_sign_of_the_rotation(layout, side):
    """A quarter turn takes the first member of a pair onto the second (RoFormer, equation 34)."""
    x = np.zeros(6)
    first, second = reference.pair_slices(6, 2, layout, side)
    x[first] = 1
    y = reference.rotate(x, np.zeros(2), np.ones(2), layout=layout, side=side)
    expected = np.zeros(6)
    expected[second] = 1
    assert y.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("layout", "side", "first", "second"),
    [
        ("half", "head", [0, 1], [2, 3]),
        ("half", "tail", [2, 3], [4, 5]),
        ("interleaved", "head", [0, 2], [1, 3]),
        ("interleaved", "tail", [2, 4], [3, 5]),
    ],
)
def test_channels_of_the_pairs(layout, side, first, second):
    slices = reference.pair_slices(6, 2, layout, side)
    assert [list(range(6)[s]) for s in slices] == [first, second]


@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("side", ["head", "tail"])
@pytest.mark.parametrize("transpose", [False, True])
def test_the_bit_model_follows_the_float64_model(layout, side, transpose):
    random = np.random.default_rng(0)
    config = rope(rotary_dim=64)
    cos, sin = reference.cos_sin_bits(config, [[3, 999]])
    x = random.standard_normal((1, 2, 96)).astype(np.float32)
    bits = reference.rotate_bits(x, cos, sin, layout=layout, side=side, transpose=transpose)
    true = reference.rotate(
        x, cos.astype(np.float64), sin.astype(np.float64), layout=layout, side=side, transpose=transpose
    )
    # fma and one product, each rounded: 2 · 2⁻²⁴ of the largest term, |x| < 4.
    assert np.abs(bits - true).max() <= 4 * 2 * 2.0**-24


def test_rotating_back_undoes_the_rotation():
    config = rope()
    cos, sin = reference.cos_sin(config, [[12345]])
    x = np.random.default_rng(1).standard_normal((1, 1, 128))
    there = reference.rotate(x, cos, sin, layout="half")
    assert np.abs(reference.rotate(there, cos, sin, layout="half", transpose=True) - x).max() <= 8 * FLOAT64_ERROR


def test_each_pair_follows_the_axis_of_its_section():
    config = rope(rotary_dim=16, head_dim=16, mrope=MRope(sections=(2, 3, 3)))
    positions = np.array([[[5]], [[70]], [[900]]])
    cos, _ = reference.cos_sin(config, positions)
    for axis, pairs in ((0, [0, 1]), (1, [2, 3, 4]), (2, [5, 6, 7])):
        alone, _ = reference.cos_sin(config, positions[axis])
        assert (cos[0, 0, pairs] == alone[0, 0, pairs]).all()


def test_rows_have_the_frequencies_of_their_own_length():
    config = rope(max_position_embeddings=64).replace(scaling={"rope_type": "dynamic", "factor": 2.0})
    short, long = np.array([[3]]), np.array([[500]])
    both, _ = reference.cos_sin(config, np.concatenate([short, long]))
    assert (both[0] == reference.cos_sin(config, short)[0][0]).all()
    assert (both[1] == reference.cos_sin(config, long)[0][0]).all()


@pytest.mark.parametrize("positions", [[[0.5]], [1, 2], [[[1]], [[2]]]])
def test_positions_that_do_not_fit_are_refused(positions):
    with pytest.raises(RopeConfigError, match="positions must be"):
        reference.cos_sin(rope(), positions)
