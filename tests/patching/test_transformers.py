"""`tightrope.patch` on transformers models: what it replaces, what it leaves, and that it leaves no trace."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import copy
import pickle

import pytest

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from transformers.models.llama import modeling_llama

import tightrope
from models import hf_models, tiny_models
from tightrope.backends.torch.dispatch import rotate_pair
from tightrope.backends.torch.transformers import apply as hf_apply
from tightrope.backends.torch.transformers.rotary import HFRotary

pytestmark = pytest.mark.backend("torch")


@pytest.mark.parametrize("name", tiny_models.ARCHITECTURES)
def test_unpatching_restores_the_logits_bit_for_bit(name):
    model = hf_models.model(name)
    before = hf_models.logits(model, offset=hf_models.FAR)
    with tightrope.patched(model):
        assert not torch.equal(hf_models.logits(model, offset=hf_models.FAR), before)
    assert torch.equal(hf_models.logits(model, offset=hf_models.FAR), before)


@pytest.mark.parametrize("name", tiny_models.ARCHITECTURES)
def test_every_attention_layer_is_served_by_one_fused_rotation(name, monkeypatch):
    """What the report says is what happens: one call for each layer that has a position, and none by the old code."""
    model, calls = hf_models.model(name), []

    def counted(*args, **how):
        calls.append(how)
        return rotate_pair(*args, **how)

    monkeypatch.setattr(hf_apply, "rotate_pair", counted)
    with tightrope.patched(model) as report:
        hf_models.logits(model)
    assert {part.action for part in report.layers} == {"angles and rotation"}
    assert [part.layer for part in report.layers] == list(range(model.config.num_hidden_layers))
    assert len(calls) == sum(part.rope is not None for part in report.layers)


def test_unpatching_gives_back_the_very_same_objects(llama):
    rotary, state = llama.model.rotary_emb, dict(vars(llama.model.layers[0].self_attn))
    names = list(llama.state_dict())
    tightrope.patch(llama)
    assert isinstance(llama.model.rotary_emb, HFRotary)
    assert list(llama.state_dict()) == names
    tightrope.unpatch(llama)
    assert llama.model.rotary_emb is rotary
    assert dict(vars(llama.model.layers[0].self_attn)) == state
    assert list(dict(llama.model.named_children())) == ["embed_tokens", "layers", "norm", "rotary_emb"]


def test_other_models_of_the_process_keep_their_own_code(llama):
    other, apply = hf_models.model("llama"), modeling_llama.apply_rotary_pos_emb
    before = hf_models.logits(other, offset=hf_models.FAR)
    tightrope.patch(llama)
    assert modeling_llama.apply_rotary_pos_emb is apply
    assert "forward" not in vars(other.model.layers[0].self_attn)
    assert torch.equal(hf_models.logits(other, offset=hf_models.FAR), before)


def test_a_copy_of_a_patched_model_is_patched_and_can_be_unpatched_alone(llama):
    llama.to(torch.bfloat16)
    before = hf_models.logits(llama, offset=hf_models.FAR)
    tightrope.patch(llama)
    after = hf_models.logits(llama, offset=hf_models.FAR)
    twin = copy.deepcopy(llama)
    assert torch.equal(hf_models.logits(twin, offset=hf_models.FAR), after)
    tightrope.unpatch(twin)
    assert torch.equal(hf_models.logits(twin, offset=hf_models.FAR), before)
    assert torch.equal(hf_models.logits(llama, offset=hf_models.FAR), after)


def test_a_patched_model_refuses_to_be_pickled_half(llama):
    tightrope.patch(llama)
    with pytest.raises(tightrope.RopeConfigError, match="cannot be pickled"):
        pickle.dumps(llama)


def test_saving_a_patched_model_saves_what_the_unpatched_one_would(llama, tmp_path):
    llama.save_pretrained(tmp_path / "own")
    tightrope.patch(llama)
    llama.save_pretrained(tmp_path / "patched")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "patched" / name).read_bytes() == (tmp_path / "own" / name).read_bytes()


def test_the_report_names_ropes_layers_and_the_code_that_rotates():
    with tightrope.patched(hf_models.model("cohere2")) as report:
        text = str(report)
    assert "Cohere2ForCausalLM (transformers " in text
    assert "layers 0–2" in text
    assert "no position" in text
    assert report.layers[0].path == tightrope.load_backend("torch").path("cpu")
