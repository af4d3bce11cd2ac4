"""DTensors: whatever the placement, the bits of the whole tensor, and the placement stays."""

import pytest

from harness import processes

pytestmark = pytest.mark.backend("torch")

MESHES = ["1-D", "2-D"]
PLACEMENTS = ["batch", "heads", "seq", "channels", "whole"]
CALLS = [
    "offset", "offset by row", "positions", "angles", "in place", "shift", "part of the width", "cos and sin",
    "gradient",
]  # fmt: skip
ONCE = [
    "lengths that are a DTensor",
    "positions that are a DTensor", "cos and sin that are DTensors", "partial sums", "placement stays", "packed",
    "two axes sharded", *(f"operator {name}" for name in PLACEMENTS),
    *(f"angles {name}" for name in ("seq", "batch", "whole", "batch by rows", "batch, rows whole", "seq by rows")),
    *(f"compiled {name}" for name in ("heads", "seq", "batch")),
]  # fmt: skip


@pytest.fixture(scope="module")
def ranks():
    """Two processes, three rows and five tokens: no axis but that of the heads divides evenly."""
    return processes.torchrun("torch_dtensors")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("mesh", MESHES)
def test_each_placement_gives_the_bits_of_the_whole(ranks, mesh, placement, call):
    assert [rank[f"{mesh} {placement}: {call}"] for rank in ranks] == [True, True]


@pytest.mark.parametrize("name", ONCE)
def test_so_do_all_ways_to_give_angles_and_to_call(ranks, name):
    assert [rank[name] for rank in ranks] == [True, True]


def test_what_cannot_be_is_refused_in_words(ranks):
    for rank in ranks:
        assert "q cannot be rotated in place: it holds partial sums" in rank["partial sums in place"]
        assert "cos and sin must be tensors where q is one" in rank["angles alone are DTensors"]
        assert "q and k must both be DTensors" in rank["q alone is a DTensor"]
