"""A patched transformers model in use: trained, compiled, quantised, with adapters, spread over devices, generating."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import copy

import pytest

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

import tightrope
from models import hf_models, tiny_models

pytestmark = pytest.mark.backend("torch")


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointed"])
def test_gradients_are_those_of_the_unpatched_model(llama, checkpointing):
    """Up to the rounding of float32: measured against the same model in float64."""
    llama.requires_grad_(True).train()
    if checkpointing:
        newest, before_5_23 = "activation_checkpointing_enable", "gradient_checkpointing_enable"
        getattr(llama, newest if hasattr(llama, newest) else before_5_23)()

    def gradient(model):
        model.zero_grad()
        model(hf_models.TOKENS, labels=hf_models.TOKENS, use_cache=False).loss.backward()
        return model.model.layers[0].self_attn.k_proj.weight.grad.double()

    own, exact = gradient(llama), gradient(copy.deepcopy(llama).double())
    with tightrope.patched(llama):
        patched = gradient(llama)
    # The factor of tests/whole/end_to_end/test_agreement.py: a second draw of the same rounding.
    assert (patched - exact).abs().max() <= 4 * (own - exact).abs().max()


def test_a_training_step_changes_the_weights_of_a_patched_model(llama):
    llama.requires_grad_(True).train()
    before = llama.model.layers[0].self_attn.q_proj.weight.detach().clone()
    tightrope.patch(llama)
    optimizer = torch.optim.SGD(llama.parameters(), lr=0.1)
    llama(hf_models.TOKENS, labels=hf_models.TOKENS).loss.backward()
    optimizer.step()
    assert not torch.equal(llama.model.layers[0].self_attn.q_proj.weight, before)


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "phi3"])
def test_a_compiled_model_is_one_graph_and_uses_the_patched_rotation(name):
    model = hf_models.fresh(name)
    tightrope.patch(model)
    eager = hf_models.logits(model, offset=hf_models.FAR)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    own = hf_models.logits(hf_models.model(name), offset=hf_models.FAR)
    # A graph of framework operations may differ by an ulp; transformers' own angles are 40,000 · 2⁻²⁴ rad off.
    assert (hf_models.logits(compiled, offset=hf_models.FAR) - eager).abs().max() < 0.1 * (own - eager).abs().max()


def test_unpatching_reaches_a_model_that_was_compiled_meanwhile(llama):
    own = hf_models.logits(llama, offset=hf_models.FAR)
    tightrope.patch(llama)
    torch._dynamo.reset()
    compiled = torch.compile(llama, backend="eager")
    hf_models.logits(compiled, offset=hf_models.FAR)
    tightrope.unpatch(compiled)
    assert torch.equal(hf_models.logits(compiled, offset=hf_models.FAR), own)


def rounded(llama):
    for layer in llama.model.layers:
        layer.self_attn.q_proj = Rounded(layer.self_attn.q_proj)
    return llama


def quantised_by_torch(llama):
    return torch.ao.quantization.quantize_dynamic(llama, {torch.nn.Linear}, dtype=torch.qint8)


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")  # on its way out: torchao comes after it
@pytest.mark.parametrize("quantise", [rounded, quantised_by_torch])
def test_quantised_layers_stay_and_the_rotation_is_patched(llama, quantise):
    """The rotation is no weight: it may move the logits by less than the quantisation itself did."""
    plain = hf_models.logits(llama)
    llama = quantise(llama)
    kind, own = type(llama.model.layers[0].self_attn.q_proj), hf_models.logits(llama)
    with tightrope.patched(llama, **hf_models.FAITHFUL) as report:
        assert {part.action for part in report.layers} == {"angles and rotation"}
        assert type(llama.model.layers[0].self_attn.q_proj) is kind is not torch.nn.Linear
        assert (hf_models.logits(llama) - own).abs().max() < 0.1 * (own - plain).abs().max()
    assert torch.equal(hf_models.logits(llama), own)


class Rounded(torch.nn.Module):
    """A linear layer with 8-bit weights, as quantisation libraries put in a model."""

    def __init__(self, linear):
        super().__init__()
        self.scale = linear.weight.abs().max() / 127
        self.weight = torch.nn.Parameter((linear.weight / self.scale).round().to(torch.int8), requires_grad=False)

    def forward(self, x):
        return x @ (self.weight.to(x.dtype) * self.scale).T


def greedy(model, **options):
    ids = hf_models.TOKENS[:1]
    made = model.generate(ids, max_new_tokens=32, min_new_tokens=32, do_sample=False, pad_token_id=0, **options)
    return made[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("cache", ["static", "dynamic"])
@pytest.mark.parametrize("name", ["llama", "gemma3_text", "phi3"])
def test_every_kind_of_cache_gives_the_tokens_of_none(name, cache):
    """Sliding windows (gemma3_text) are shorter than the prompt."""
    model = hf_models.fresh(name)
    tightrope.patch(model)
    without = greedy(model, use_cache=False)
    assert len(set(without)) > len(without) // 4  # a model that repeats itself would prove nothing
    assert greedy(model, cache_implementation=cache) == without


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")  # peft 0.21 asks by the old name
@pytest.mark.parametrize("patch_first", [True, False], ids=["before", "after"])
def test_peft_adapters_before_and_after_patching(llama, patch_first):
    peft = pytest.importorskip("peft")
    settings = peft.LoraConfig(r=2, target_modules=["q_proj", "k_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    if patch_first:
        tightrope.patch(llama, **hf_models.FAITHFUL)
        model = peft.get_peft_model(llama, settings)
        patched = hf_models.logits(model)
        tightrope.unpatch(model)
    else:
        model = peft.get_peft_model(llama, settings)
        with tightrope.patched(model, **hf_models.FAITHFUL):
            patched = hf_models.logits(model)
    torch.testing.assert_close(patched, hf_models.logits(model))


def test_device_hooks_of_accelerate_stay_in_place(llama):
    accelerate = pytest.importorskip("accelerate")
    own = hf_models.logits(llama)
    accelerate.dispatch_model(llama, {"": "cpu"}, force_hooks=True)
    for module in llama.modules():
        if type(module).__name__ == "LlamaAttention":
            accelerate.hooks.add_hook_to_module(module, accelerate.hooks.AlignDevicesHook("cpu", io_same_device=True))
    tightrope.patch(llama, **hf_models.FAITHFUL)
    assert all(hasattr(layer.self_attn, "_hf_hook") for layer in llama.model.layers)
    assert "apply_fused" in repr(hf_models.apply_function(llama.model.layers[0].self_attn._old_forward))
    torch.testing.assert_close(hf_models.logits(llama), own)
    tightrope.unpatch(llama)
    assert torch.equal(hf_models.logits(llama), own)


def test_a_model_whose_layers_wait_on_disk_is_patched_where_they_run(llama, tmp_path):
    """device_map as a user gives it: weights come when their layer does, and go again."""
    pytest.importorskip("accelerate")
    llama.save_pretrained(tmp_path / "model")
    where = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk", "model.norm": "cpu",
             "model.rotary_emb": "cpu", "lm_head": "cpu"}  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", device_map=where, offload_folder=tmp_path / "disk", attn_implementation="eager"
    )
    assert model.model.layers[1].self_attn.q_proj.weight.is_meta
    own = hf_models.logits(model)
    with tightrope.patched(model, **hf_models.FAITHFUL) as report:
        torch.testing.assert_close(hf_models.logits(model), own)
        assert {part.action for part in report.layers} == {"angles and rotation"}
    assert torch.equal(hf_models.logits(model), own)


def test_the_text_part_of_a_model_with_images_is_patched_and_the_rest_named():
    config = AutoConfig.for_model(
        "qwen2_vl",
        text_config={
            **tiny_models.SIZES, "head_dim": None, "rope_parameters":
            {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
        },
        vision_config={"depth": 1, "embed_dim": 32, "num_heads": 2, "hidden_size": 64, "mlp_ratio": 2},
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager").eval()
    positions = torch.stack([torch.arange(24) // part for part in (1, 2, 3)])[:, None].expand(-1, 2, -1)
    with torch.no_grad():
        own = model(input_ids=hf_models.TOKENS, position_ids=positions).logits
        with tightrope.patched(model, **hf_models.FAITHFUL) as report:
            patched = model(input_ids=hf_models.TOKENS, position_ids=positions).logits
    torch.testing.assert_close(patched, own)
    assert [part.action for part in report.layers] == ["angles and rotation"] * 2
    assert any("visual" in part.module for part in report.parts)


def test_a_model_without_values_yet_is_patched_by_what_its_class_does():
    config = AutoConfig.for_model(**{"model_type": "cohere", **tiny_models.SIZES})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    report = tightrope.patch(model)
    assert {part.action for part in report.layers} == {"angles and rotation"}
    assert any("no values yet" in note for note in report.notes)
