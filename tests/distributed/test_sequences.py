"""A rope that follows the length rotates a shard as the whole: by a length that is declared, or asked of the group."""

import numpy as np
import pytest

import tightrope
from harness import processes
from tightrope import RopeConfigError

DYNAMIC = {
    "model_type": "llama", "head_dim": 16, "num_hidden_layers": 1, "rope_theta": 1e4, "max_position_embeddings": 8,
    "rope_scaling": {"rope_type": "dynamic", "factor": 4.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def torch_ranks():
    pytest.importorskip("transformers")
    return processes.torchrun("torch_sequences")


@pytest.fixture(scope="module")
def mlx_ranks():
    return processes.mlx_ring("mlx_sequences")


@pytest.mark.backend("torch")
class TestTorch:
    """Patched models within torch's context_parallel, and modules."""

    @pytest.mark.parametrize("kind", ["longrope", "dynamic"])
    def test_a_sharded_sequence_of_unsaid_length_is_refused(self, torch_ranks, kind):
        for rank in torch_ranks:
            assert "which is sharded" in rank[f"{kind} unsaid"]
            assert "tightrope.sequence(length)" in rank[f"{kind} unsaid"]

    @pytest.mark.parametrize("how", ["length", "group", "mesh"])
    @pytest.mark.parametrize("kind", ["longrope", "dynamic", "default"])
    def test_each_shard_has_the_bits_of_the_whole(self, torch_ranks, kind, how):
        assert [rank[f"{kind} {how}"] for rank in torch_ranks] == [True, True]

    def test_a_rope_that_does_not_follow_the_length_needs_none(self, torch_ranks):
        assert [rank["default unsaid"] for rank in torch_ranks] == [True, True]

    @pytest.mark.parametrize("kind", ["longrope", "dynamic"])
    def test_rows_of_their_own_lengths_stay_apart(self, torch_ranks, kind):
        assert [rank[f"{kind} rows"] for rank in torch_ranks] == [True, True]

    @pytest.mark.parametrize("scheme", ["contiguous", "zigzag", "striped", "packed rank", "packed document"])
    @pytest.mark.parametrize("kind", ["longrope", "dynamic", "default"])
    def test_attention_over_all_shards_is_that_of_the_whole(self, torch_ranks, kind, scheme):
        """Scores below 1 of 16 products, whose errors reach values below 1/2 twice: softmax of them, and its sum."""
        for rank in torch_ranks:
            assert rank[f"{kind} {scheme}"]["same"]
            assert rank[f"{kind} {scheme}"]["apart"] < 2 * 16 * 2.0**-24

    def test_a_length_shorter_than_a_shard_reaches_is_refused_there(self, torch_ranks):
        """Zig-zag: the first shard has the last token."""
        assert torch_ranks[0]["short"] == "seq_len must be > the largest position (31), got 31"

    def test_processes_with_other_rows_are_refused_on_every_side(self, torch_ranks):
        for rank in torch_ranks:
            assert rank["other rows"] == "the processes of a group must have the same rows, got 1 to 2 of them"

    def test_what_is_no_group_is_refused(self, torch_ranks):
        assert "group must be a ProcessGroup" in torch_ranks[0]["no group"]


@pytest.mark.backend("mlx")
class TestMlx:
    """The same on MLX's ring."""

    @pytest.mark.parametrize("kind", ["longrope", "dynamic"])
    def test_each_shard_has_the_bits_of_the_whole(self, mlx_ranks, kind):
        assert [rank[kind] for rank in mlx_ranks] == [True, True]

    def test_what_cannot_be_is_refused_on_every_side(self, mlx_ranks):
        for rank in mlx_ranks:
            assert "must have the same rows" in rank["other rows"]
            assert "group must be an mx.distributed.Group" in rank["no group"]


@pytest.mark.parametrize("how", [{}, {"length": 4, "group": object()}, {"length": -1}, {"length": 1.5}, {"length": []}])
def test_a_declaration_is_one_length_or_one_group(how):
    with pytest.raises(RopeConfigError), tightrope.sequence(**how):
        pass


class TestBlock:
    """What is declared holds within the block, and where no call says otherwise."""

    @pytest.fixture
    def rope(self, backend):
        return backend.RotaryEmbedding(tightrope.read(DYNAMIC))

    def cos(self, backend, rope, **how):
        positions = backend.asarray(np.arange(4), "int64", backend.devices()[0])
        return backend.to_numpy(rope.cos_sin(positions, **how)[0])

    def test_within_it_and_not_beyond(self, backend, rope):
        alone, long = self.cos(backend, rope), self.cos(backend, rope, seq_len=64)
        with tightrope.sequence(64):
            assert np.array_equal(self.cos(backend, rope), long)
            with tightrope.sequence(16):
                assert np.array_equal(self.cos(backend, rope), self.cos(backend, rope, seq_len=16))
            assert np.array_equal(self.cos(backend, rope), long)
        assert np.array_equal(self.cos(backend, rope), alone)
        assert not np.array_equal(alone, long)

    def test_a_call_that_gives_seq_len_has_the_last_word(self, backend, rope):
        with tightrope.sequence(64):
            inner = self.cos(backend, rope, seq_len=16)
        assert np.array_equal(inner, self.cos(backend, rope, seq_len=16))

    def test_it_ends_with_an_error(self, backend, rope):
        alone = self.cos(backend, rope)
        with pytest.raises(RopeConfigError, match=r"largest position \(3\)"), tightrope.sequence(3):
            self.cos(backend, rope)
        assert np.array_equal(self.cos(backend, rope), alone)

    def test_one_length_per_row(self, backend, rope):
        q = backend.asarray(np.random.default_rng(0).standard_normal((2, 1, 4, 16)), "float32", backend.devices()[0])
        positions = backend.asarray(np.arange(4) + np.array([[0], [8]]), "int64", backend.devices()[0])
        with tightrope.sequence([16, 64]):
            both = backend.to_numpy(rope(q, positions=positions))
        assert np.array_equal(both, backend.to_numpy(rope(q, positions=positions, seq_len=[16, 64])))


@pytest.mark.backend("torch")
def test_a_compiled_graph_takes_a_declared_length_and_refuses_a_group():
    torch = pytest.importorskip("torch")
    rope = tightrope.load_backend("torch").RotaryEmbedding(tightrope.read(DYNAMIC))
    q = torch.randn(1, 1, 4, 16)
    torch.compiler.reset()
    compiled = torch.compile(lambda x: rope(x), fullgraph=True, backend="eager")
    for length in (16, 64):
        with tightrope.sequence(length):
            torch.testing.assert_close(compiled(q), rope(q, seq_len=length), rtol=0, atol=1e-6)
    with tightrope.sequence(group=object()), pytest.raises(Exception, match="cannot ask the other processes"):
        compiled(q)


def test_the_failure_of_one_process_ends_the_others(tmp_path, monkeypatch):
    """A process that waits for one that failed is ended soon after, and the output of the failed one is shown."""
    folder = tmp_path / "tests" / "distributed"
    folder.mkdir(parents=True)
    (folder / "half.py").write_text("import os, time\nassert os.environ['RANK'] == '0', 'no'\ntime.sleep(600)\n")
    monkeypatch.setattr(processes, "ROOT", tmp_path)
    monkeypatch.setattr(processes, "GRACE", 0.2)
    with pytest.raises(AssertionError, match=r"process 1 of half ended with 1(.|\n)*no"):
        processes.torchrun("half")


def test_processes_that_hang_are_ended(tmp_path, monkeypatch):
    folder = tmp_path / "tests" / "distributed"
    folder.mkdir(parents=True)
    (folder / "hang.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(processes, "ROOT", tmp_path)
    with pytest.raises(AssertionError, match="process 0 of hang"):
        processes.torchrun("hang", limit=0.5)


@pytest.mark.parametrize("k", ["q alone", "q and k"])
def test_a_call_by_offset_takes_the_declared_length_too(backend, k):
    """A rope with two tables, by an int: what the fast path of a decode step would decide by itself."""
    scaling = {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [3.0] * 8, "factor": 4.0}
    config = {**DYNAMIC, "rope_scaling": {**scaling, "original_max_position_embeddings": 16}}
    rope = backend.RotaryEmbedding(tightrope.read(config))
    q = backend.asarray(np.random.default_rng(0).standard_normal((1, 1, 4, 16)), "float32", backend.devices()[0])
    xs = (q,) if k == "q alone" else (q, q)
    rope(*xs, offset=2)
    with tightrope.sequence(64):
        inside = rope(*xs, offset=2)
    expected = rope(*xs, offset=2, seq_len=64)
    for a, b in zip(*((y if isinstance(y, tuple) else (y,)) for y in (inside, expected)), strict=True):
        assert np.array_equal(backend.to_numpy(a), backend.to_numpy(b))
