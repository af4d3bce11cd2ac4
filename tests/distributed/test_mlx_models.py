"""A model of mlx-lm in several processes gives what it gives whole: split by weights or by layers, generating too."""

import pytest

pytest.importorskip("mlx_lm", exc_type=ImportError)

from harness import processes
from models import mlx_lm_models

pytestmark = pytest.mark.backend("mlx")

# Two sums of up to 96 products of float32 in another order, in each of five layers; of the largest logit.
OTHER_ORDER = 10 * 96 * 2.0**-24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    mlx_lm_models.save(path)
    return path


@pytest.fixture(scope="module")
def two(folder):
    return processes.mlx_ring("mlx_models", arguments=[folder, "pipeline", "split then patched", "tensors"])


def test_a_pipeline_gives_the_bits_of_the_whole_model(two):
    for rank in two:
        assert rank["pipeline"] == {"error": 0, "same tokens": True, "layers": None}


def test_a_model_that_a_pipeline_cut_is_patched_by_the_layers_that_are_here(two):
    assert sorted(rank["split then patched"]["layers"] for rank in two) == [[0, 1], [2, 3, 4]]
    for rank in two:
        assert rank["split then patched"]["error"] == 0
        assert rank["split then patched"]["same tokens"]


def test_weights_split_among_processes_give_the_logits_of_the_whole_model(two):
    for rank in two:
        assert rank["tensors"]["error"] <= OTHER_ORDER
        assert rank["tensors"]["same tokens"]


def test_three_processes_share_layers_unevenly(folder):
    for rank in processes.mlx_ring("mlx_models", 3, arguments=[folder, "pipeline"]):
        assert rank["pipeline"] == {"error": 0, "same tokens": True, "layers": None}
