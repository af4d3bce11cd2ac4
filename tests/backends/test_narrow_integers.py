"""Integers of every width count on as int64 does, wherever they are added to; what is no whole number is refused."""

import numpy as np
import pytest

import tightrope
from tightrope.backends.shared import declared
from tightrope.rope.schedule import FrequencySchedule

NARROW = ["int8", "uint8", "int16", "uint16", "int32", "uint32"]
ROPE = tightrope.RopeConfig(head_dim=8, base=1e4, max_position_embeddings=64)
DYNAMIC = ROPE.replace(scaling={"rope_type": "dynamic", "factor": 4.0})
QWEN = ROPE.replace(scaling={"rope_type": "qwen_dynamic"})
X = np.random.default_rng(3).standard_normal((2, 1, 3, 8)).astype(np.float32)
positions = tightrope.positions


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize(
    "call",
    [
        lambda n: positions.chunks(n(100), n(60), start=n(100)),
        lambda n: positions.window(n(3), n(10)),
        lambda n: positions.window(n(127), n(100), ring=True),
        lambda n: positions.padded([n(1), n(127)], width=n(127)),
        lambda n: positions.packed([n(0), n(127)]),
        lambda n: positions.shards(n(120), n(2), scheme="striped", block=n(30)),
        lambda n: positions.grid_positions([[n(100), n(2)]], start=n(100), before=n(1)),
        lambda n: positions.centre_positions(n(2), n(100)),
    ],
    ids=["chunks", "window", "ring", "padded", "packed", "shards", "grid", "centres"],
)
def test_positions_are_those_of_wide_integers(call, dtype):
    narrow, wide = call(np.dtype(dtype).type), call(int)
    assert all(np.array_equal(one, other) for one, other in zip(narrow, wide, strict=True))


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("policy", ["row", "transformers"])
@pytest.mark.parametrize("rope", [DYNAMIC, QWEN], ids=["dynamic", "qwen_dynamic"])
def test_a_schedule_plans_for_lengths_of_any_width(rope, policy, dtype):
    top = np.dtype(dtype).type(np.iinfo(dtype).max)
    plan = FrequencySchedule(rope, policy).plan
    assert plan([top], 0) == FrequencySchedule(rope, policy).plan([int(top)], 0)


@pytest.mark.parametrize("wrong", [True, 1.5, "7"])
def test_a_schedule_takes_whole_numbers(wrong):
    for policy in ("row", "transformers"):
        with pytest.raises(tightrope.RopeConfigError, match="a length must be a whole number"):
            FrequencySchedule(QWEN, policy).plan([wrong], 0)


def test_the_longest_position_of_a_group_has_a_successor(backend, monkeypatch):
    monkeypatch.setattr(declared, "_largest", lambda ops, numbers, group, like: numbers)
    top = np.array([[[0, 2**31 - 1]]], np.int32)
    found = declared.Positions(backend.RotaryEmbedding.ops.from_numpy(top, None))
    assert declared._largest_of_group(backend.RotaryEmbedding.ops, found, object(), None) == [2**31]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("positions", 3), ("positions", -1), ("positions", 10**5000), ("positions", np.ma.array([0, 1, 2])),
        ("offset", np.ma.array([1, 2])), ("offset", True), ("offset", 2**63), ("seq_len", b"1"),
        ("seq_len", bytearray(b"12")), ("seq_len", 2**63), ("seq_len", np.uint64(2**63)), ("seq_len", 10**5000),
        ("order", np.zeros(2)), ("layer_type", []),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)  # fmt: skip
def test_what_is_no_position_and_no_length_is_refused_in_a_line(backend, keyword, value):
    rope = backend.RotaryEmbedding(DYNAMIC)
    with pytest.raises(tightrope.RopeConfigError, match=keyword) as refused:
        rope(backend.asarray(X, "float32", "cpu"), **{keyword: value})
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "value", [10**5000, np.array([2**63], np.uint64), np.ma.array([1])], ids=["huge", "uint64", "masked"]
)
def test_a_query_scale_takes_positions_of_64_bits(backend, value):
    with pytest.raises(tightrope.RopeConfigError, match="positions must"):
        backend.RotaryEmbedding(ROPE).query_scale(value)


@pytest.mark.backend("mlx")
@pytest.mark.parametrize("dtype", NARROW)
def test_scaled_positions_of_an_mlx_rope_are_those_of_wide_integers(dtype):
    mx = pytest.importorskip("mlx.core")
    from tightrope.backends.mlx.mlx_lm import MLXRope

    rope, top = MLXRope(ROPE), [min(np.iinfo(dtype).max, 2**31) - 1, 3]
    narrow = rope(mx.array(X), offset=mx.array(top, dtype=getattr(mx, dtype)), scale=3)
    assert mx.array_equal(narrow, rope(mx.array(X), offset=mx.array(top, dtype=mx.int64), scale=3))
    assert mx.array_equal(narrow, rope(mx.array(X), offset=np.array(top, dtype), scale=3))


@pytest.mark.parametrize("dtype", NARROW)
def test_rows_of_tables_are_taken_by_positions_of_any_width(utils, dtype):
    names, array, index = utils
    table = array(np.tile(np.arange(300 * 4, dtype=np.float32).reshape(300, 4) / 1200, 2))
    ids = np.array([[0, 1, min(np.iinfo(dtype).max, 299)], [3, 2, 1]])
    wanted = names.apply_rotary_pos_emb(array(X), None, table, table, index(ids, "int64"))[0]
    for given in (index(ids, dtype), ids.astype(dtype)):
        assert np.array_equal(names.apply_rotary_pos_emb(array(X), None, table, table, given)[0], wanted)


@pytest.mark.parametrize("row", [-1, 5, 10**6])
def test_a_position_beyond_the_tables_is_refused(utils, row):
    names, array, index = utils
    table = array(np.ones((5, 8), np.float32))
    with pytest.raises(tightrope.RopeConfigError, match="position_ids must be from 0 to 4"):
        names.apply_rotary_pos_emb(array(X), None, table, table, index(np.full((2, 3), row), "int64"))


def test_rows_beyond_the_tables_are_nan_where_nobody_can_look(utils, monkeypatch):
    names, array, index = utils
    table = array(np.ones((5, 8), np.float32))
    shared = names.apply_rotary_pos_emb.__self__
    monkeypatch.setattr(type(shared.ops), "ends", lambda self, values: None)
    rotated = names.apply_rotary_pos_emb(array(X), None, table, table, index(np.array([[0, 5, -1]]), "int64"))[0]
    missing = np.isnan(np.asarray(rotated)).all(-1)
    assert missing[:, 0].tolist() == [[False, True, True]] * 2


@pytest.mark.parametrize("wrong", [True, 1.5, "7", [1, 2]])
def test_a_length_of_an_init_function_is_a_whole_number(utils, wrong):
    names, _, _ = utils
    config = {"model_type": "llama", "head_dim": 8, "max_position_embeddings": 64, "rope_theta": 1e4,
              "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}  # fmt: skip
    with pytest.raises(tightrope.RopeConfigError, match="seq_len must be"):
        names.ROPE_INIT_FUNCTIONS["dynamic"](config, None, wrong)


@pytest.fixture(params=["torch", "mlx"])
def utils(request):
    """The names of transformers on a backend, and how its arrays are made of numpy's."""
    if request.param == "torch":
        torch = pytest.importorskip("torch")
        from tightrope.backends.torch import rope_utils

        return rope_utils, torch.from_numpy, lambda ids, dtype: torch.from_numpy(ids).to(getattr(torch, dtype))
    mx = pytest.importorskip("mlx.core")
    from tightrope.backends.mlx import rope_utils

    return rope_utils, mx.array, lambda ids, dtype: mx.array(ids).astype(getattr(mx, dtype))


class TestDropIns:
    """flash-attn's, TransformerEngine's and Apex's functions."""

    @pytest.mark.parametrize("dtype", NARROW)
    def test_offsets_and_starts_of_any_width(self, dtype):
        torch, drop_in = pytest.importorskip("torch"), self.functions()
        table, kind = torch.arange(400.0)[:, None] / 100, getattr(torch, dtype)
        x, starts = torch.ones(2, 3, 1, 8), torch.tensor([0, 1, 3])
        wanted = drop_in.apply_rotary_emb(x, table, table, seqlen_offsets=torch.tensor([120, 3]))
        for offsets in (torch.tensor([120, 3]).to(kind), np.array([120, 3], dtype)):
            assert torch.equal(drop_in.apply_rotary_emb(x, table, table, seqlen_offsets=offsets), wanted)
        wanted = drop_in.apply_rotary_emb(x[0], table, table, cu_seqlens=starts, seqlen_offsets=120)
        for offset in (np.dtype(dtype).type(120), torch.tensor([120, 120]).to(kind)):
            found = drop_in.apply_rotary_emb(x[0], table, table, cu_seqlens=starts.to(kind), seqlen_offsets=offset)
            assert torch.equal(found, wanted)

    @pytest.mark.parametrize("starts", [[0, 1], [1, 3], [0, 4], [0, 2, 1, 3], [[0, 3]], [], [0.0, 3.0]], ids=str)
    def test_starts_hold_every_token(self, starts):
        torch, drop_in = pytest.importorskip("torch"), self.functions()
        with pytest.raises(tightrope.RopeConfigError, match="cu_seqlens must"):
            drop_in.apply_rotary_pos_emb(
                torch.ones(3, 1, 8), torch.ones(9, 1, 1, 8), "thd", cu_seqlens=torch.tensor(starts)
            )

    def test_angles_reach_to_the_end_of_the_longest_sequence(self):
        torch, drop_in = pytest.importorskip("torch"), self.functions()
        with pytest.raises(tightrope.RopeConfigError, match="freqs must hold positions 0 to 2, got 2 rows"):
            drop_in.fused_apply_rotary_pos_emb_thd(torch.ones(3, 1, 8), torch.tensor([0, 3]), torch.ones(2, 1, 1, 8))

    @pytest.mark.parametrize(
        ("keyword", "value"),
        [
            ("seqlen_offsets", True), ("seqlen_offsets", 1.5), ("seqlen_offsets", "x"), ("seqlen_offsets", [1]),
            ("max_seqlen", 1.5), ("cu_seqlens", [0, 3]), ("cu_seqlens", "x"), ("interleaved", 2), ("inplace", "x"),
        ],
    )  # fmt: skip
    def test_what_is_of_another_type_is_refused(self, keyword, value):
        torch, drop_in = pytest.importorskip("torch"), self.functions()
        given = {"cu_seqlens": torch.tensor([0, 3]), keyword: value}
        with pytest.raises(tightrope.RopeConfigError, match=keyword):
            drop_in.apply_rotary_emb(torch.ones(3, 1, 8), torch.ones(9, 4), torch.ones(9, 4), **given)

    def test_what_shares_memory_is_not_rotated_in_place(self):
        torch, drop_in = pytest.importorskip("torch"), self.functions()
        x = torch.ones(1, 3, 1, 8).expand(2, 3, 1, 8)
        with pytest.raises(tightrope.RopeConfigError, match="its elements share memory"):
            drop_in.apply_rotary_emb(x, torch.ones(9, 4), torch.ones(9, 4), inplace=True)

    def functions(self):
        from tightrope.backends.torch import drop_in

        return drop_in
