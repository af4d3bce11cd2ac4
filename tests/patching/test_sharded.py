"""A patched model under FSDP2: mixed precision casts what layers are given, and leaves the angles alone."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import pytest

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

import tightrope
from models import hf_models

pytestmark = pytest.mark.backend("torch")


@pytest.fixture
def mesh():
    """A mesh of this process alone."""
    distributed = pytest.importorskip("torch.distributed")
    if not distributed.is_available():
        pytest.skip("this PyTorch is built without torch.distributed")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield distributed.device_mesh.init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


@pytest.mark.parametrize("patch_first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("name", ["llama", "gemma3_text", "cohere2"])
def test_mixed_precision_gives_the_logits_of_a_model_cast_to_bfloat16(mesh, name, patch_first, checkpointing):
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    expected = hf_models.fresh(name).to(torch.bfloat16)
    tightrope.patch(expected)
    model = hf_models.fresh(name).train(checkpointing).requires_grad_(checkpointing)
    if checkpointing:
        newest, before_5_23 = "activation_checkpointing_enable", "gradient_checkpointing_enable"
        getattr(model, newest if hasattr(model, newest) else before_5_23)()
    if patch_first:
        tightrope.patch(model)
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16)
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    if not patch_first:
        tightrope.patch(model)
    with torch.set_grad_enabled(checkpointing):
        logits = model(hf_models.TOKENS, use_cache=False).logits
        if checkpointing:
            logits.sum().backward()
    assert torch.equal(logits, hf_models.logits(expected))
    tightrope.unpatch(model)


def test_without_processes_the_angles_are_the_tuple_that_transformers_gives():
    model = hf_models.fresh("llama")
    tightrope.patch(model)
    assert type(model.model.rotary_emb(torch.zeros(1), torch.arange(5)[None])) is tuple


@pytest.mark.usefixtures("mesh")
def test_angles_that_no_cast_reaches_unpack_move_and_compile():
    model = hf_models.fresh("llama")
    own = hf_models.logits(model)
    tightrope.patch(model, **hf_models.FAITHFUL)
    angles = model.model.rotary_emb(torch.zeros(1), torch.arange(5)[None])
    cos, sin = angles.to("cpu")
    assert (len(angles), cos.dtype) == (2, torch.float32)
    assert torch.equal(sin, angles[1])
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(hf_models.logits(compiled), own)
    for layer in model.model.layers:
        layer.compile(backend="eager")
    torch.testing.assert_close(hf_models.logits(model), own)
