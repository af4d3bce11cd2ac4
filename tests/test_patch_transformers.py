"""`tightrope.patch` on transformers models: what it replaces, what it leaves, and that it leaves no trace."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import copy
import pickle

import numpy as np
import pytest

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.models.llama import modeling_llama

import tightrope
import tiny_models
from tightrope.backends.torch.hf_rotary import HFRotary
from tightrope.rope import reference

pytestmark = pytest.mark.backend("torch")

FAITHFUL = {"precision": "float32", "policy": "transformers"}
# Tokens from the second half of LongRoPE's short range to beyond its switch, and a start far from 0.
FAR = 40_000
TOKENS = torch.from_numpy(np.random.default_rng(3).integers(2, 128, (2, 24)))


@pytest.fixture(scope="module")
def models():
    """Every architecture, built once; tests that change one take a copy."""
    return {name: tiny_models.build(name) for name in tiny_models.ARCHITECTURES}


@pytest.fixture
def llama(models):
    return copy.deepcopy(models["llama"])


def logits(model, tokens=TOKENS, offset=0):
    positions = torch.arange(offset, offset + tokens.shape[1]).expand(len(tokens), -1)
    with torch.no_grad():
        return model(tokens, position_ids=positions, use_cache=False).logits


def rotated_by(model, layer, x, offset):
    """Catch what the rotation of one attention layer makes of q = k = x, by the model's own code or the patched one."""
    attention = model.model.layers[layer].self_attn
    positions = torch.arange(offset, offset + x.shape[2])[None]
    angles = model.model.rotary_emb(x, positions)
    scope = attention.forward.__globals__
    return scope["apply_rotary_pos_emb"](x, x, *angles)[0]


@pytest.mark.parametrize("offset", [0, FAR])
@pytest.mark.parametrize("name", ["llama", "llama3.1", "qwen2", "phi3"])
def test_float32_mode_rotates_within_two_ulp_of_a_pair_s_norm(models, name, offset):
    """The unpatched rotation rounds each product and the sum, the patched one rounds once; their tables have the same
    bits but for the ulp that float32 mode leaves in one frequency of a hundred."""
    model, rope = models[name], tightrope.read(models[name].config).ropes["default"]
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 16, rope.head_dim)).astype(np.float32))
    own = rotated_by(model, 0, x, offset).numpy()
    with tightrope.patched(model, **FAITHFUL):
        new = rotated_by(model, 0, x, offset).numpy()
    first, second = reference.pair_slices(rope.head_dim, rope.pairs, rope.layout, rope.side)
    norm = np.hypot(own[..., first], own[..., second])
    ulp = np.maximum(np.spacing(norm), np.finfo(np.float32).tiny)
    inv_freq = tightrope.frequencies(rope, offset + 16, precision="float32").inv_freq
    # One ulp of a frequency moves the angle by position · 2⁻²³ · inv_freq; elsewhere two ulp of the norm hold.
    moved = norm * (offset + 16) * np.abs(inv_freq) * 2.0**-23
    for part in (first, second):
        assert (np.abs(new - own)[..., part] <= 2 * ulp + moved).all()


@pytest.mark.parametrize("name", tiny_models.ARCHITECTURES)
def test_unpatching_restores_the_logits_bit_for_bit(models, name):
    model = models[name]
    before = logits(model, offset=FAR)
    with tightrope.patched(model):
        assert not torch.equal(logits(model, offset=FAR), before)
    assert torch.equal(logits(model, offset=FAR), before)


@pytest.mark.parametrize("name", tiny_models.ARCHITECTURES)
def test_every_attention_layer_is_served_by_one_fused_rotation(models, name):
    with tightrope.patched(models[name]) as report:
        assert {part.action for part in report.layers} == {"angles and rotation"}
    assert [part.layer for part in report.layers] == list(range(models[name].config.num_hidden_layers))


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


def test_other_models_of_the_process_keep_their_own_code(models, llama):
    other, apply = models["llama"], modeling_llama.apply_rotary_pos_emb
    before = logits(other, offset=FAR)
    tightrope.patch(llama)
    assert modeling_llama.apply_rotary_pos_emb is apply
    assert "forward" not in vars(other.model.layers[0].self_attn)
    assert torch.equal(logits(other, offset=FAR), before)


def test_a_copy_of_a_patched_model_is_patched_and_can_be_unpatched_alone(llama):
    before = logits(llama, offset=FAR)
    tightrope.patch(llama)
    after = logits(llama, offset=FAR)
    twin = copy.deepcopy(llama)
    tightrope.unpatch(twin)
    assert torch.equal(logits(twin, offset=FAR), before)
    assert torch.equal(logits(llama, offset=FAR), after)


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


def test_bfloat16_rounds_the_rotation_once(models):
    """transformers rounds cos, sin, both products and the sum to bfloat16; one rounding is at most half an ulp off."""
    model = copy.deepcopy(models["llama"]).to(torch.bfloat16)
    rope = tightrope.read(model.config).ropes["default"]
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)).to(torch.bfloat16)
    cos, sin = (part[:, None] for part in reference.cos_sin(rope, np.arange(16)[None]))
    exact = torch.from_numpy(reference.rotate(x.float().numpy(), cos, sin, layout="half"))
    own = (rotated_by(model, 0, x, 0).double() - exact).abs().max()
    with tightrope.patched(model):
        turned = rotated_by(model, 0, x, 0)
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned, exact.to(torch.bfloat16))
    assert own > (turned.double() - exact).abs().max()


def test_a_cast_to_bfloat16_that_reached_inv_freq_is_mended(models):
    """`model.to(bfloat16)` rounds the model's own frequencies too: at position 40,000 they mean nothing any more."""
    model = copy.deepcopy(models["llama"]).to(torch.bfloat16)
    assert model.model.rotary_emb.inv_freq.dtype == torch.bfloat16
    tightrope.patch(model)
    cos, _ = model.model.rotary_emb.rope.cos_sin(torch.tensor([[FAR]]))
    exact, _ = reference.cos_sin(tightrope.read(model.config).ropes["default"], [[FAR]])
    np.testing.assert_allclose(cos.numpy(), exact, atol=1e-7)  # the bound of precision "exact", README


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointed"])
def test_gradients_are_those_of_the_unpatched_model(llama, checkpointing):
    """Up to the rounding of float32: measured against the same model in float64."""
    llama.requires_grad_(True).train()
    if checkpointing:
        llama.activation_checkpointing_enable()

    def gradient(model):
        model.zero_grad()
        model(TOKENS, labels=TOKENS, use_cache=False).loss.backward()
        return model.model.layers[0].self_attn.k_proj.weight.grad.double()

    own, exact = gradient(llama), gradient(copy.deepcopy(llama).double())
    with tightrope.patched(llama):
        patched = gradient(llama)
    # The factor of test_end_to_end_agreement: a second draw of the same rounding.
    assert (patched - exact).abs().max() <= 4 * (own - exact).abs().max()


def test_a_training_step_changes_the_weights_of_a_patched_model(llama):
    llama.requires_grad_(True).train()
    before = llama.model.layers[0].self_attn.q_proj.weight.detach().clone()
    tightrope.patch(llama)
    optimizer = torch.optim.SGD(llama.parameters(), lr=0.1)
    llama(TOKENS, labels=TOKENS).loss.backward()
    optimizer.step()
    assert not torch.equal(llama.model.layers[0].self_attn.q_proj.weight, before)


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "phi3"])
def test_a_compiled_model_is_one_graph_and_uses_the_patched_rotation(models, name):
    model = copy.deepcopy(models[name])
    tightrope.patch(model)
    eager = logits(model, offset=FAR)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    own = logits(models[name], offset=FAR)
    # A graph of framework operations may differ by an ulp; transformers' own angles are 40,000 · 2⁻²⁴ rad off.
    assert (logits(compiled, offset=FAR) - eager).abs().max() < 0.1 * (own - eager).abs().max()


def test_unpatching_reaches_a_model_that_was_compiled_meanwhile(llama):
    own = logits(llama, offset=FAR)
    tightrope.patch(llama)
    torch._dynamo.reset()
    compiled = torch.compile(llama, backend="eager")
    logits(compiled, offset=FAR)
    tightrope.unpatch(compiled)
    assert torch.equal(logits(compiled, offset=FAR), own)


def test_quantised_linear_layers_change_nothing(llama):
    """The rotation is no weight: layers of another class beside it are no matter."""
    for layer in llama.model.layers:
        layer.self_attn.q_proj = Rounded(layer.self_attn.q_proj)
    own = logits(llama)
    with tightrope.patched(llama, **FAITHFUL) as report:
        assert {part.action for part in report.layers} == {"angles and rotation"}
        torch.testing.assert_close(logits(llama), own)


class Rounded(torch.nn.Module):
    """A linear layer with 8-bit weights, as quantisation libraries put in a model."""

    def __init__(self, linear):
        super().__init__()
        self.scale = linear.weight.abs().max() / 127
        self.weight = torch.nn.Parameter((linear.weight / self.scale).round().to(torch.int8), requires_grad=False)

    def forward(self, x):
        return x @ (self.weight.to(x.dtype) * self.scale).T


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")  # peft 0.21 asks by the old name
@pytest.mark.parametrize("patch_first", [True, False], ids=["before", "after"])
def test_peft_adapters_before_and_after_patching(llama, patch_first):
    peft = pytest.importorskip("peft")
    settings = peft.LoraConfig(r=2, target_modules=["q_proj", "k_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    if patch_first:
        tightrope.patch(llama, **FAITHFUL)
        model = peft.get_peft_model(llama, settings)
        patched = logits(model)
        tightrope.unpatch(model)
    else:
        model = peft.get_peft_model(llama, settings)
        with tightrope.patched(model, **FAITHFUL):
            patched = logits(model)
    torch.testing.assert_close(patched, logits(model))


def test_device_hooks_of_accelerate_stay_in_place(llama):
    accelerate = pytest.importorskip("accelerate")
    own = logits(llama)
    accelerate.dispatch_model(llama, {"": "cpu"}, force_hooks=True)
    for module in llama.modules():
        if type(module).__name__ == "LlamaAttention":
            accelerate.hooks.add_hook_to_module(module, accelerate.hooks.AlignDevicesHook("cpu", io_same_device=True))
    tightrope.patch(llama, **FAITHFUL)
    assert all(hasattr(layer.self_attn, "_hf_hook") for layer in llama.model.layers)
    assert "apply_fused" in repr(llama.model.layers[0].self_attn._old_forward.__globals__["apply_rotary_pos_emb"])
    torch.testing.assert_close(logits(llama), own)
    tightrope.unpatch(llama)
    assert torch.equal(logits(llama), own)


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
        own = model(input_ids=TOKENS, position_ids=positions).logits
        with tightrope.patched(model, **FAITHFUL) as report:
            patched = model(input_ids=TOKENS, position_ids=positions).logits
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


def test_the_report_names_ropes_layers_and_the_code_that_rotates(models):
    with tightrope.patched(models["cohere2"]) as report:
        text = str(report)
    assert "Cohere2ForCausalLM (transformers " in text
    assert "layers 0–2" in text
    assert "no position" in text
    assert report.layers[0].path == tightrope.load_backend("torch").path("cpu")


def test_a_patched_gpt_neox_rotates_an_unusual_spelling():
    """rotary_pct and rotary_emb_base, a partial rotation with pass-through, a rotary module with its own name."""
    config = AutoConfig.for_model("gpt_neox", **{**tiny_models.SIZES, "rotary_pct": 0.25, "rotary_emb_base": 30_000})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    own = logits(model)
    with tightrope.patched(model, **FAITHFUL) as report:
        torch.testing.assert_close(logits(model), own)
    assert "base 30000, 4 of 16 channels" in report.layers[0].rope
