"""A patched model that transformers or FSDP2 splits over two processes computes what the whole patched model does."""

import pytest

from harness import processes

pytestmark = pytest.mark.backend("torch")

# Two layers of two row-parallel products, each summed in two parts where the whole sums once; and what follows them.
BOUND = 16 * 2.0**-24
MODELS = ["llama", "glm"]


@pytest.fixture(scope="module")
def ranks():
    pytest.importorskip("transformers.distributed", reason="this transformers splits no models itself")
    return processes.torchrun("torch_models")


@pytest.mark.parametrize("name", MODELS)
class TestTransformers:
    """`from_pretrained(…, distributed_config=DistributedConfig(…))`, then `patch`, one million tokens on."""

    def test_tensor_parallelism_gives_the_logits_of_the_whole(self, ranks, name):
        for rank in ranks:
            split = rank[f"{name} tensor"]
            assert split["layers"] == 2
            assert split["after"] < BOUND < split["before"]
            assert split["unpatched"] < BOUND

    def test_a_pipeline_gives_the_bits_of_the_whole(self, ranks, name):
        for rank in ranks:
            split = rank[f"{name} pipeline"]
            assert split["layers"] == 1
            assert split["after"] == split["unpatched"] == 0 < BOUND < split["before"]

    @pytest.mark.parametrize("how", ["tensor", "pipeline"])
    def test_both_generate_the_tokens_of_the_whole(self, ranks, name, how):
        assert [rank[f"{name} {how} generates"] for rank in ranks] == [True, True]


@pytest.mark.parametrize("order", ["patched before", "patched after"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", MODELS)
def test_fsdp2_gives_the_bits_of_a_model_in_that_dtype(ranks, name, dtype, order):
    assert [rank[f"{name} {dtype} {order}"] for rank in ranks] == [{"same": True, "gradient": 0.0}] * 2


@pytest.mark.parametrize("order", ["patched before", "patched after"])
@pytest.mark.parametrize("wrapper", ["DDP", "FSDP1"])
def test_a_wrapped_model_is_patched_and_unpatched_as_the_model_itself(ranks, wrapper, order):
    assert [rank[f"{wrapper} {order}"] for rank in ranks] == [[True, True]] * 2
