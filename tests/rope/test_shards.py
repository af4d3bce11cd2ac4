"""Shards of sequences and of packed documents, held to torch's own load balancers and to published orders."""

import importlib.metadata

import numpy as np
import pytest
from packaging.version import Version

from tightrope import RopeConfigError
from tightrope.rope.positions import packed, restore_order, shards

CUTS = [
    (24, 3, {}),
    (24, 3, {"scheme": "zigzag"}),
    (24, 3, {"scheme": "striped"}),
    (24, 3, {"scheme": "striped", "block": 4}),
    (24, 2, {"scheme": "zigzag", "cu_seqlens": [0, 8, 12, 24]}),
    (24, 2, {"scheme": "zigzag", "cu_seqlens": [0, 8, 12, 24], "major": "document"}),
    (24, 2, {"cu_seqlens": [0, 8, 8, 24]}),
    (0, 2, {"cu_seqlens": [0], "major": "document"}),
]


@pytest.mark.parametrize(("length", "count", "how"), CUTS)
def test_every_token_is_in_one_shard_and_finds_its_way_back(length, count, how):
    parts = shards(length, count, **how)
    assert [len(part) for part in parts] == [length // count] * count
    assert np.array_equal(np.concatenate(parts)[restore_order(parts)], np.arange(length))


def test_stripes_deal_blocks_out_in_turn():
    """Striped attention (arXiv:2311.09431): device r has tokens r, r + count, …"""
    assert shards(8, 2, scheme="striped")[1].tolist() == [1, 3, 5, 7]
    assert shards(8, 2, scheme="striped", block=2)[0].tolist() == [0, 1, 4, 5]


def test_documents_by_rank_are_those_of_megatron():
    """The example of TransformerEngine and Megatron-LM: two documents of four tokens on two ranks."""
    first, second = shards(8, 2, scheme="zigzag", cu_seqlens=[0, 4, 8])
    assert (first.tolist(), second.tolist()) == ([0, 3, 4, 7], [1, 2, 5, 6])
    assert packed([0, 4, 8]).positions[first].tolist() == [0, 3, 0, 3]


def test_m_rope_positions_are_indexed_by_shard():
    positions = np.arange(3 * 2 * 8).reshape(3, 2, 8)
    parts = [positions[..., shard] for shard in shards(8, 2, scheme="zigzag")]
    assert parts[0].shape == (3, 2, 4)
    back = np.concatenate(parts, axis=-1)[..., restore_order(shards(8, 2, scheme="zigzag"))]
    assert np.array_equal(back, positions)


class TestAgainstTorch:
    """torch.distributed's load balancers of context parallelism."""

    @pytest.fixture
    def balancers(self):
        name = "torch.distributed.tensor.experimental._context_parallel._load_balancer"
        return pytest.importorskip(name, reason="this torch has no load balancers")

    @pytest.mark.parametrize("count", [2, 4])
    def test_zigzag_and_its_way_back(self, balancers, count):
        balancer = balancers._HeadTailLoadBalancer(8 * count, count, "cpu")
        parts = shards(8 * count, count, scheme="zigzag")
        assert np.array_equal(np.concatenate(parts), balancer._generate_indices()[0].numpy())
        assert np.array_equal(restore_order(parts), balancer._generate_indices(restore=True)[0].numpy())

    @pytest.mark.parametrize("count", [2, 4])
    def test_documents_in_the_order_of_this_version(self, balancers, count):
        lengths = [4 * count, 8 * count, 2 * count, 2 * count]
        balancer = balancers._PerDocumentHeadTailLoadBalancer([lengths], count, "cpu")
        major = "document" if Version(importlib.metadata.version("torch")) < Version("2.14") else "rank"
        how = {"scheme": "zigzag", "cu_seqlens": np.cumsum([0, *lengths]), "major": major}
        parts = shards(sum(lengths), count, **how)
        assert np.array_equal(np.concatenate(parts), balancer._generate_indices()[0].numpy())
        assert np.array_equal(restore_order(parts), balancer._generate_indices(restore=True)[0].numpy())


@pytest.mark.parametrize(
    ("arguments", "how", "text"),
    [
        ((7, 2), {}, "length must be a multiple of 2 for 2 contiguous shards, got 7"),
        ((6, 2), {"scheme": "zigzag"}, "length must be a multiple of 4"),
        ((8, 2), {"scheme": "striped", "block": 3}, "length must be a multiple of 6 for 2 striped shards"),
        ((8, 2), {"scheme": "zigzag", "cu_seqlens": [0, 2, 8]}, "each document's length must be a multiple of 4"),
        ((8, 2), {"cu_seqlens": [0, 4]}, r"cu_seqlens must end with length \(8\), got 4"),
        ((8, 2), {"cu_seqlens": [1, 8]}, "cu_seqlens must start at 0"),
        ((8, 2), {"scheme": "spiral"}, "scheme must be one of"),
        ((8, 2), {"major": "token"}, "major must be one of"),
        ((8, 2), {"block": 2}, "block belongs to scheme 'striped'"),
        ((8, 2), {"scheme": "striped", "block": 0}, "block must be a whole number >= 1"),
        ((-1, 2), {}, "length must be"),
        ((8, 0), {}, "count must be"),
    ],
)
def test_what_cannot_be_cut_is_refused(arguments, how, text):
    with pytest.raises(RopeConfigError, match=text):
        shards(*arguments, **how)


@pytest.mark.parametrize("parts", [([0, 1], [1, 2]), ([0, 2],), ([-1, 0],), ([0.5],)])
def test_parts_of_no_sequence_are_refused(parts):
    with pytest.raises(RopeConfigError, match="parts must"):
        restore_order(parts)
