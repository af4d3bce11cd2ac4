"""A patched model inside what wraps it: replicas, DDP, adapters that are merged, its own inner model."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import copy
import sys

import pytest

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

import tightrope
from models import hf_models

pytestmark = pytest.mark.backend("torch")


def without_output(attention):
    """Take the output projection of a copied attention away from the copy alone."""
    attention._modules = dict(attention._modules)
    attention._modules["o_proj"] = copy.deepcopy(attention.o_proj)
    attention._modules["o_proj"].weight.data.zero_()
    return attention


def replica(attention):
    copied = attention._replicate_for_data_parallel()
    copied._modules = dict(attention._modules)
    return copied


@pytest.mark.parametrize("copied", [replica, copy.copy, copy.deepcopy])
def test_a_copy_of_patched_attention_uses_its_own_weights(llama, copied):
    tightrope.patch(llama)
    attention = without_output(copied(llama.model.layers[0].self_attn))
    angles = llama.model.rotary_emb(torch.zeros(1, 4, 64), torch.arange(4)[None])
    with torch.no_grad():
        output = attention(torch.randn(1, 4, 64), position_embeddings=angles, attention_mask=None)[0]
    assert (output == 0).all()


def test_replicas_of_data_parallel_run_their_own_weights(llama, monkeypatch):
    """torch's own code, with the one function that needs several devices replaced."""
    module = sys.modules["torch.nn.parallel.replicate"]

    def copies(tensors, devices, detach=False):
        return [[tensor.clone() for tensor in tensors] for _ in devices]

    monkeypatch.setattr(module, "_broadcast_coalesced_reshape", copies)
    tightrope.patch(llama)
    own = hf_models.logits(llama)
    first, second = module.replicate(llama, [0, 1], detach=True)
    with torch.no_grad():
        second.model.layers[0].self_attn.q_proj.weight.zero_()
    assert torch.equal(hf_models.logits(first), own)
    assert not torch.equal(hf_models.logits(second), own)
    assert torch.equal(hf_models.logits(llama), own)


class Held(torch.nn.Module):
    """A model in a module without configuration, as DDP and DataParallel hold one."""

    def __init__(self, module):
        super().__init__()
        self.module = module


@pytest.mark.parametrize("wrapper", [Held, torch.nn.DataParallel])
def test_a_wrapped_model_is_patched_and_unpatched_through_the_wrapper(llama, wrapper):
    own, wrapped = hf_models.logits(llama), wrapper(llama)
    report = tightrope.patch(wrapped)
    assert report.layers[0].module == "model.layers.0.self_attn"
    assert not torch.equal(hf_models.logits(llama, offset=hf_models.FAR), own)
    tightrope.unpatch(wrapped)
    assert torch.equal(hf_models.logits(llama), own)


def test_a_patch_is_found_from_the_inner_model(llama):
    own = hf_models.logits(llama)
    tightrope.patch(llama)
    tightrope.unpatch(llama.model)
    assert torch.equal(hf_models.logits(llama), own)
    with pytest.raises(tightrope.RopeConfigError, match="not patched"):
        tightrope.unpatch(llama)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")  # peft 0.21 asks by the old name
def test_merging_adapters_leaves_a_model_that_can_be_unpatched(llama):
    peft = pytest.importorskip("peft")
    own = hf_models.logits(llama)  # fresh adapters change nothing
    model = peft.get_peft_model(llama, peft.LoraConfig(r=2, target_modules=["q_proj"]))
    tightrope.patch(model)
    merged = model.merge_and_unload()
    with pytest.raises(tightrope.RopeConfigError, match="patched already"):
        tightrope.patch(merged)
    tightrope.unpatch(merged)
    torch.testing.assert_close(hf_models.logits(merged), own)
    tightrope.patch(merged)
