"""Frequencies that follow the sequence: each row by itself, whatever its batch mates and its history are."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tolerances
from draws import DYNAMIC, EVERY_PATH, LONGROPE, ORIGINAL, rope
from tightrope import RopeConfigError
from tightrope.rope import positions, reference
from tightrope.rope.schedule import FrequencySchedule
from tightrope.verify.parity.differences import EPS
from tolerances import apart, pair_norms

pytestmark = EVERY_PATH

FOLLOWING = {
    name: rope(max_position_embeddings=ORIGINAL).replace(scaling=block)
    for name, block in (("longrope", LONGROPE), ("dynamic", DYNAMIC))
}
both = pytest.mark.parametrize("config", FOLLOWING.values(), ids=FOLLOWING)


class Bench:
    """A module of a backend with numpy around it."""

    def __init__(self, backend, config, **settings):
        self.backend, self.device = backend, backend.devices()[0]
        self.module = backend.RotaryEmbedding(config, **settings)

    def array(self, values, dtype="int64"):
        return self.backend.asarray(np.asarray(values), dtype, self.device)

    def rotated(self, q, **arguments):
        return self.backend.to_numpy(self.module(self.array(q, "float32"), **arguments))

    def angles(self, at, **arguments):
        return np.stack([self.backend.to_numpy(part) for part in self.module.cos_sin(self.array(at), **arguments)])


def q(*shape):
    return np.random.default_rng(0).standard_normal(shape or (2, 3, 4, 8)).astype(np.float32)


@both
@given(offsets=st.lists(st.integers(-20, 60), min_size=1, max_size=4), seq=st.integers(1, 6))
def test_a_row_turns_as_if_it_were_alone(backend, config, offsets, seq):
    bench = Bench(backend, config)
    x = q(len(offsets), 2, seq, 8)
    together = bench.rotated(x, offset=bench.array(offsets))
    for row, offset in enumerate(offsets):
        assert np.array_equal(together[row], bench.rotated(x[row : row + 1], offset=bench.array([offset]))[0])


@both
@pytest.mark.parametrize("form", [list, np.array, "an array"])
@pytest.mark.parametrize("where", ["offset", "positions", "nothing", "angles"])
def test_rows_at_the_same_positions_may_have_lengths_of_their_own(backend, config, form, where):
    bench = Bench(backend, config)
    x, lengths = q(2, 2, 4, 8), [ORIGINAL + 40, 9]
    given_lengths = bench.array(lengths) if form == "an array" else form(lengths)
    placed = {"offset": {"offset": 3}, "positions": {"positions": bench.array(np.arange(4))}}.get(where, {})
    if where == "angles":
        together = bench.rotated(x, angles=bench.module.angles(offset=0, length=4, seq_len=given_lengths))
    else:
        together = bench.rotated(x, **placed, seq_len=given_lengths)
    for row, length in enumerate(lengths):
        assert np.array_equal(together[row], bench.rotated(x[row : row + 1], **placed, seq_len=length)[0])


@both
@given(calls=st.lists(st.tuples(st.integers(-20, 60), st.integers(1, 5)), min_size=2, max_size=5))
def test_rewinding_and_jumping_leave_no_trace(backend, config, calls):
    used = Bench(backend, config)
    for offset, seq in calls:
        assert np.array_equal(
            used.rotated(q(1, 1, seq, 8), offset=offset), Bench(backend, config).rotated(q(1, 1, seq, 8), offset=offset)
        )


@both
@pytest.mark.parametrize("length", [ORIGINAL - 1, ORIGINAL, ORIGINAL + 1, 50])
def test_host_and_device_lengths_choose_the_same_table(backend, config, length):
    bench = Bench(backend, config)
    at = np.arange(length - 3, length)
    true = np.stack(reference.cos_sin(config, at[None]))
    said = [
        bench.angles(at),
        bench.angles(at, seq_len=length),
        bench.angles(at, seq_len=[length]),
        bench.angles(at, seq_len=bench.array([length])),
        np.stack([backend.to_numpy(part) for part in table(bench.module.angles(at))]),
        np.stack([backend.to_numpy(part) for part in table(bench.module.angles(offset=length - 3, length=3))]),
        np.stack(
            [backend.to_numpy(part) for part in table(bench.module.angles(offset=bench.array([length - 3]), length=3))]
        ),
        np.stack(
            [backend.to_numpy(part) for part in table(bench.module.angles(offset=np.array([length - 3]), length=3))]
        ),
    ]
    allowed = tolerances.from_exact("angles", scaled=True) * EPS["float32"] * 1.25
    for got in said:
        assert np.abs(got - true).max() <= allowed


def table(angles):
    return angles["default"].cos, angles["default"].sin


@both
def test_a_batch_of_short_and_long_rows_has_a_table_per_row(backend, config):
    at = np.array([[3, 15], [3, 16], [0, 40]])
    got = Bench(backend, config).angles(at)
    true = np.stack(reference.cos_sin(config, at))
    assert np.abs(got - true).max() <= tolerances.from_exact("angles", scaled=True) * EPS["float32"] * 1.25


@both
def test_with_the_final_length_prefill_equals_decode(backend, config):
    """Without it, it cannot: the first tokens were rotated before anyone knew how long the sequence would become."""
    bench = Bench(backend, config)
    x = q(1, 1, 40, 8)
    whole = bench.rotated(x, offset=0)
    known = [bench.rotated(x[:, :, t : t + 1], offset=t, seq_len=40) for t in range(40)]
    unknown = [bench.rotated(x[:, :, t : t + 1], offset=t) for t in range(40)]
    norms = pair_norms(x, config)
    assert apart(np.concatenate(known, 2), whole, norms) <= tolerances.two_rotations() * 1.25
    early = np.concatenate(unknown, 2)[:, :, :ORIGINAL]
    assert apart(early, whole[:, :, :ORIGINAL], norms[:, :, :ORIGINAL]) > 1000


@both
def test_chunks_of_a_prefill_equal_the_whole(backend, config):
    bench = Bench(backend, config)
    x = q(1, 2, 40, 8)
    whole = bench.rotated(x, seq_len=40)
    chunks = [bench.rotated(x[:, :, at], positions=at, seq_len=40) for at in positions.chunks(40, 7)]
    assert apart(np.concatenate(chunks, 2), whole, pair_norms(x, config)) <= tolerances.two_rotations() * 1.25


@both
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_no_token(backend, config, side):
    bench = Bench(backend, config)
    x = q(2, 1, 20, 8)
    lengths = [20, 5]
    rotated = bench.rotated(x, positions=positions.padded(lengths, side=side))
    for row, length in enumerate(lengths):
        kept = slice(20 - length, None) if side == "left" else slice(0, length)
        assert np.array_equal(rotated[row : row + 1, :, kept], bench.rotated(x[row : row + 1, :, kept], offset=0))


@both
def test_packed_sequences_turn_as_each_by_itself(backend, config):
    bench = Bench(backend, config)
    x = q(26, 2, 8)
    at, lengths = positions.packed([0, 20, 21, 26])
    rotated = bench.rotated(x, positions=at, seq_len=lengths, order="thd")
    for start, stop in ((0, 20), (20, 21), (21, 26)):
        alone = bench.rotated(x[start:stop], order="thd")
        assert np.array_equal(rotated[start:stop], alone)


# Two documents in a row, one of them beyond the original length; the last token of the second row is right padding.
PACKED = np.stack(([*range(20), *range(6)], [*range(5), *range(20), 19]))
DOCUMENTS = ((0, 0, 20), (0, 20, 26), (1, 0, 5), (1, 5, 25))


@both
@pytest.mark.parametrize("dtype", ["int64", "float32"])
@pytest.mark.parametrize("library", ["numpy", "its own"])
def test_documents_packed_into_a_row_rotate_as_each_by_itself(backend, config, library, dtype):
    bench = Bench(backend, config)
    x = q(2, 2, 26, 8)
    rotated = bench.rotated(x, positions=PACKED.astype(dtype) if library == "numpy" else bench.array(PACKED, dtype))
    for row, start, stop in DOCUMENTS:
        alone = bench.rotated(x[row : row + 1, :, start:stop])
        assert np.array_equal(rotated[row, :, start:stop], alone[0])


@both
def test_documents_of_packed_tokens_rotate_as_each_by_itself_without_their_lengths(backend, config):
    bench = Bench(backend, config)
    x = q(26, 2, 8)
    rotated = bench.rotated(x, positions=bench.array(PACKED[0]), order="thd")
    for start, stop in ((0, 20), (20, 26)):
        assert np.array_equal(rotated[start:stop], bench.rotated(x[start:stop], order="thd"))


@both
def test_policy_transformers_takes_the_longest_document_of_all(backend, config):
    bench = Bench(backend, config, policy="transformers")
    x = q(2, 2, 26, 8)
    assert np.array_equal(
        bench.rotated(x, positions=bench.array(PACKED)),
        Bench(backend, config).rotated(x, positions=bench.array(PACKED), seq_len=20),
    )


@both
@pytest.mark.parametrize("scheme", ["contiguous", "zigzag"])
def test_shards_equal_the_whole(backend, config, scheme):
    bench = Bench(backend, config)
    x = q(1, 2, 24, 8)
    whole = bench.rotated(x, seq_len=24)
    for at in positions.shards(24, 3, scheme=scheme):
        assert np.array_equal(bench.rotated(x[:, :, at], positions=at, seq_len=24), whole[:, :, at])


@both
def test_keys_of_a_window_keep_their_global_positions(backend, config):
    bench = Bench(backend, config)
    x = q(1, 2, 24, 8)
    whole = bench.rotated(x, seq_len=24)
    for ring in (False, True):
        at = positions.window(24, 7, ring=ring)
        assert np.array_equal(bench.rotated(x[:, :, at], positions=at, seq_len=24), whole[:, :, at])


@both
def test_two_threads_with_two_lengths_share_a_module(backend, config):
    bench = Bench(backend, config)
    expected = {offset: Bench(backend, config).rotated(q(), offset=offset) for offset in (2, 30)}

    def work(offset):
        return all(np.array_equal(bench.rotated(q(), offset=offset), expected[offset]) for _ in range(50))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(work, [2, 30, 30, 2]))


@both
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda b: {"offset": 10, "seq_len": 13}, r"seq_len must be > the largest position \(13\), got 13"),
        (lambda b: {"positions": np.arange(4), "seq_len": [3]}, r"the largest position \(3\), got 3"),
        (lambda b: {"positions": b.array([[0, 1, 2, 3], [4, 5, 6, 9]]), "seq_len": [20, 9]}, r"\(9\), got 9"),
        (lambda b: {"seq_len": [5, 6, 7]}, r"one number or one per row \(2\), got 3 numbers"),
        (lambda b: {"positions": np.zeros((2, 4), int), "seq_len": np.array([5, 6, 7])}, r"one per row \(2\), got 3"),
        (lambda b: {"seq_len": []}, r"seq_len must be whole numbers"),
    ],
)
def test_lengths_that_cannot_be_are_refused(backend, config, arguments, message):
    bench = Bench(backend, config)
    with pytest.raises(RopeConfigError, match=message):
        bench.rotated(q(), **arguments(bench))


def test_tables_of_lengths_stay_bounded(backend):
    bench = Bench(backend, FOLLOWING["dynamic"])
    for length in range(20, 400):
        bench.module.angles(offset=length, length=1)
    kept = bench.module._ropes["default"]._tables._recent
    assert len(kept._values) <= 64


@pytest.mark.parametrize("arguments", [{"offset": 7}, {"positions": np.arange(7, 11)}, {"offset": 7, "seq_len": 11}])
def test_a_static_type_neither_plans_nor_reads_a_length(backend, arguments, monkeypatch):
    bench = Bench(backend, rope())
    expected = bench.rotated(q(), **arguments)

    def asked(*_, **__):
        raise AssertionError("the schedule was asked")

    for name in ("plan", "by_row"):
        monkeypatch.setattr(FrequencySchedule, name, asked)
    for name in ("numbers", "largest_by_row", "ends"):
        monkeypatch.setattr(type(bench.module.ops), name, asked)
    assert np.array_equal(bench.rotated(q(), **arguments), expected)
