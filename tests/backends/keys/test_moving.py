"""Moving rotated keys: to other frequencies, to other positions, as if they had been rotated there at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tolerances
from draws import DYNAMIC, EVERY_PATH, LONGROPE, ORIGINAL, rope
from tightrope import MRope, RopeConfigError, frequencies
from tightrope.rope import reference
from tolerances import apart, pair_norms

pytestmark = EVERY_PATH

SCALES = {"short_mscale": 1.25, "long_mscale": 1.5}
LONG = rope(max_position_embeddings=ORIGINAL).replace(scaling={**LONGROPE, **SCALES})
GROWING = rope(max_position_embeddings=ORIGINAL).replace(scaling=DYNAMIC)
FAR = st.integers(-(10**7), 10**7)


class Bench:
    def __init__(self, backend, config, **settings):
        self.backend, self.device, self.config = backend, backend.devices()[0], config
        self.module = backend.RotaryEmbedding(config, **settings)

    def array(self, values, dtype="int64"):
        return self.backend.asarray(np.asarray(values), dtype, self.device)

    def keys(self, k):
        return self.array(k, "float32")

    def rotated(self, k, **arguments):
        return self.module(self.keys(k), **arguments)

    def numpy(self, array):
        return self.backend.to_numpy(array)


def k(*shape):
    return np.random.default_rng(0).standard_normal(shape or (2, 3, 4, 8)).astype(np.float32)


def check(config, got, expected, turns=2):
    """One rotation to the old place and one move, against one rotation to the new place."""
    norms = pair_norms(expected, config)
    assert apart(got, expected, norms) <= turns * tolerances.rotation(scaled=True) + tolerances.rotation(scaled=True)


@pytest.mark.parametrize(("old", "new"), [(ORIGINAL, ORIGINAL + 1), (ORIGINAL + 1, ORIGINAL)])
def test_keys_cross_the_boundary_of_longrope(backend, old, new):
    bench = Bench(backend, LONG)
    at = np.arange(4)
    moved = bench.module.rerotate(
        bench.rotated(k(), positions=at, seq_len=old), at, frequencies(LONG, old), frequencies(LONG, new)
    )
    check(LONG, bench.numpy(moved), bench.numpy(bench.rotated(k(), positions=at, seq_len=new)))


@given(offset=FAR, old=st.integers(1, 10**6), new=st.integers(1, 10**6))
def test_keys_follow_a_growing_base_at_any_position(backend, offset, old, new):
    bench = Bench(backend, GROWING)
    at = np.arange(offset, offset + 4)
    cos, sin = cos_sin(frequencies(GROWING, old), at)
    before = reference.rotate(k(), cos, sin, layout="half").astype(np.float32)
    cos, sin = cos_sin(frequencies(GROWING, new), at)
    after = reference.rotate(k(), cos, sin, layout="half").astype(np.float32)
    moved = bench.module.rerotate(bench.keys(before), at, frequencies(GROWING, old), frequencies(GROWING, new))
    check(GROWING, bench.numpy(moved), after)


def cos_sin(freqs, at):
    angles = (at[:, None].astype(np.uint64) * freqs.turns).view(np.int64) * (np.pi / 2**63)
    return np.cos(angles), np.sin(angles)


def test_there_and_back_is_where_it_was(backend):
    bench = Bench(backend, LONG)
    at, short, long = np.arange(4), frequencies(LONG, ORIGINAL), frequencies(LONG, ORIGINAL + 1)
    there = bench.module.rerotate(bench.keys(k()), at, short, long)
    check(LONG, bench.numpy(bench.module.rerotate(there, at, long, short)), k())


TABLES = [frequencies(GROWING, length) for length in (20, 500, 90_000)]
PLACES = [0, 9_000_000, -9_000_000]


@pytest.mark.parametrize("place", PLACES)
def test_there_and_back_costs_no_more_than_rounding_twice(backend, place):
    bench = Bench(backend, GROWING)
    keys, at = k(2, 4, 64, 8), np.arange(place, place + 64)
    there = bench.module.rerotate(bench.keys(keys), at, *TABLES[:2])
    back = bench.numpy(bench.module.rerotate(there, at, *TABLES[1::-1]))
    assert apart(back, keys, pair_norms(keys, GROWING)) <= tolerances.TWO_MOVES
    shifted = bench.module.shift(bench.module.shift(bench.keys(keys), 123_456, seq_len=30), -123_456, seq_len=30)
    assert apart(bench.numpy(shifted), keys, pair_norms(keys, GROWING)) <= tolerances.TWO_MOVES


@pytest.mark.parametrize("place", PLACES)
def test_a_detour_leads_to_the_same_place(backend, place):
    bench = Bench(backend, GROWING)
    keys, at = k(2, 4, 64, 8), np.arange(place, place + 64)
    detour = bench.module.rerotate(bench.module.rerotate(bench.keys(keys), at, *TABLES[:2]), at, *TABLES[1:])
    turns = TABLES[2].turns - TABLES[0].turns
    angles = (at[:, None].astype(np.uint64) * turns).view(np.int64) * (np.pi / 2**63)
    straight = reference.rotate(keys, np.cos(angles), np.sin(angles), layout="half")
    assert apart(bench.numpy(detour), straight, pair_norms(keys, GROWING)) <= tolerances.TWO_MOVES


@given(offset=FAR, delta=FAR)
def test_a_shift_is_the_rotation_at_the_other_position(backend, offset, delta):
    config = rope(layout="interleaved", head_dim=10, side="tail")
    bench = Bench(backend, config)
    shifted = bench.module.shift(bench.rotated(k(2, 3, 4, 10), offset=offset), delta)
    check(config, bench.numpy(shifted), bench.numpy(bench.rotated(k(2, 3, 4, 10), offset=offset + delta)))


def test_rows_may_shift_by_different_distances(backend):
    bench = Bench(backend, rope())
    shifted = bench.module.shift(bench.rotated(k(), offset=100), bench.array([-30, 5]))
    check(rope(), bench.numpy(shifted), bench.numpy(bench.rotated(k(), offset=bench.array([70, 105]))))


def test_a_shift_keeps_the_attention_factor(backend):
    bench = Bench(backend, LONG)
    shifted = bench.module.shift(bench.rotated(k(), offset=3, seq_len=20), 5, seq_len=20)
    check(LONG, bench.numpy(shifted), bench.numpy(bench.rotated(k(), offset=8, seq_len=20)))


def test_a_shift_neither_reads_nor_changes_history(backend):
    bench = Bench(backend, GROWING, policy="transformers")
    bench.rotated(k(), offset=100)
    before = bench.module._ropes["default"]._state
    bench.module.shift(bench.keys(k()), 3, seq_len=5000)
    assert bench.module._ropes["default"]._state == before == 104


@pytest.mark.parametrize("precision", ["exact", "float32"])
def test_several_axes_and_both_precisions(backend, precision):
    config = LONG.replace(mrope=MRope(sections=(2, 1, 1)))
    bench = Bench(backend, config, precision=precision)
    at = np.arange(24).reshape(3, 2, 4)
    old, new = (frequencies(config, length, precision=precision) for length in (ORIGINAL, 60))
    before = short(bench, config, precision).rotated(k(), positions=at)
    moved = bench.module.rerotate(before, at, old, new)
    check(config, bench.numpy(moved), bench.numpy(bench.rotated(k(), positions=at, seq_len=60)), turns=4)


def short(bench, config, precision):
    return Bench(bench.backend, config, precision=precision, switch="short")


def test_packed_keys_move_too(backend):
    bench = Bench(backend, LONG)
    at = np.array([0, 1, 2, 0, 1])
    before = bench.rotated(k(5, 2, 8), positions=at, seq_len=ORIGINAL, order="thd")
    moved = bench.module.rerotate(before, at, frequencies(LONG, ORIGINAL), frequencies(LONG, 40), order="thd")
    check(LONG, bench.numpy(moved), bench.numpy(bench.rotated(k(5, 2, 8), positions=at, seq_len=40, order="thd")))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("short", frequencies(LONG, 5), "old must be what tightrope.frequencies returned, got str"),
        (frequencies(LONG, 5), frequencies(rope(rotary_dim=4)), "new must hold 4 frequencies, got 2"),
        (frequencies(LONG, 5), frequencies(LONG, 5, precision="float32"), "of one precision, got float64, float32"),
    ],
)
def test_frequencies_that_do_not_fit_are_refused(backend, old, new, message):
    bench = Bench(backend, LONG)
    with pytest.raises(RopeConfigError, match=message):
        bench.module.rerotate(bench.keys(k()), np.arange(4), old, new)


def test_a_shift_of_a_following_type_needs_a_length(backend):
    bench = Bench(backend, LONG)
    with pytest.raises(RopeConfigError, match="'longrope' follows the sequence: give seq_len"):
        bench.module.shift(bench.keys(k()), 3)


def test_keys_move_in_place_where_the_framework_writes_in_place(backend):
    bench = Bench(backend, LONG)
    keys = bench.keys(k())
    moved = bench.module.shift(keys, 3, seq_len=5)
    assert (moved is keys) == (backend.name == "torch")
