"""Keys go from PyTorch to MLX over TCP, to other positions, another layout and order, and come back."""

import pytest

from harness import processes

pytestmark = pytest.mark.backend("torch", "mlx")

# Of keys below 5: each rotation rounds to half an ulp of float32 and computes with two.
BOUND = 5 * 8 * 2.0**-24


@pytest.fixture(scope="module")
def ranks():
    return processes.torchrun("key_hand_over")


def test_what_arrives_in_mlx_is_what_it_would_have_rotated_itself(ranks):
    assert ranks[1]["values"]
    assert ranks[1]["there"] < BOUND


def test_what_comes_back_is_what_was_sent(ranks):
    assert ranks[0]["values"]
    assert ranks[0]["back"] < 2 * BOUND
