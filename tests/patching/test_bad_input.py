"""What `tightrope.patch` refuses, what it says then, and that it has touched nothing."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import re
from pathlib import Path

import pytest

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

import tightrope
from models import hf_models, tiny_models
from tightrope.backends.patching.changes import Changes, Swap
from tightrope.backends.patching.report import PatchReport
from tightrope.backends.torch.transformers import forward as hf_forward

pytestmark = pytest.mark.backend("torch")


@pytest.fixture
def untouched(llama):
    """Fails a test after which the model is not what it was."""
    before = parts(llama)
    yield
    assert parts(llama) == before


def parts(model):
    return [(name, id(module), sorted(vars(module))) for name, module in model.named_modules()]


NO_MODELS = {
    "number": 3,
    "None": None,
    "object": object(),
    "list": [3] * 9999,
    "tensor": torch.ones(3),
    "weights": torch.nn.Linear(2, 2).state_dict(),
    "configuration": transformers.LlamaConfig(),
    "package": transformers,
}


@pytest.mark.parametrize("name", NO_MODELS)
def test_what_is_no_model(name):
    with pytest.raises(tightrope.RopeConfigError, match="must be a transformers, mlx-lm or mlx-vlm model, got"):
        tightrope.patch(NO_MODELS[name])


def test_an_array_of_mlx_is_no_model():
    mx = pytest.importorskip("mlx.core")
    with pytest.raises(tightrope.RopeConfigError, match=r"mlx-vlm model, got mlx\.core\.array$"):
        tightrope.patch(mx.ones(3))


@pytest.mark.parametrize("call", [tightrope.patch, tightrope.unpatch])
@pytest.mark.parametrize("path", ["org/model", Path("model"), "x" * 9999], ids=["name", "path", "long"])
def test_a_path_is_to_be_loaded_first(call, path):
    with pytest.raises(
        tightrope.RopeConfigError, match=r"model must be a loaded model, got .*: load it first"
    ) as raised:
        call(path)
    assert len(str(raised.value)) < 300


def test_a_torch_module_without_configuration():
    with pytest.raises(tightrope.RopeConfigError, match="Linear is no transformers model"):
        tightrope.patch(torch.nn.Linear(2, 2))


GPT = {"n_layer": 1, "n_embd": 16, "n_head": 4, "vocab_size": 8, "n_positions": 8, "rotary_dim": 4}
# Models whose tokens no rotary module rotates: why, in the words of the error.
NOT_BY_TOKEN = {
    "gpt2": (GPT, "no rotary module to replace: no rotary positions: this family knows positions by other means"),
    "jamba": (
        {**tiny_models.SIZES, "head_dim": None, "num_experts": 2, "mamba_dt_rank": 4, "use_mamba_kernels": False},
        "has no rotary module to replace: no rotary positions: its attention has no rotary positions",
    ),
    "roformer": (
        {**tiny_models.SIZES, "head_dim": None},
        "has no rotary module to replace: RoFormerSelfAttention rotates by a function of its own. Nothing",
    ),
    "gptj": (GPT, "has no rotary module to replace: GPTJAttention rotates by a function of its own. Nothing"),
    "codegen": (GPT, "has no rotary module to replace: CodeGenAttention rotates by a function of its own. Nothing"),
    "falcon": (
        {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 4, "vocab_size": 16, "alibi": True},
        "the configuration of rotary_emb says that nothing is rotated. Nothing",
    ),
    "esm": (
        {**tiny_models.SIZES, "position_embedding_type": "rotary"},
        r"rotary_embeddings (EsmRotaryEmbedding) is saved with the model, so it is part of it. Nothing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOT_BY_TOKEN)
def test_a_model_whose_tokens_no_rotary_module_turns(kind):
    from transformers import AutoConfig, AutoModel

    fields, message = NOT_BY_TOKEN[kind]
    model = AutoModel.from_config(AutoConfig.for_model(kind, **fields))
    before = parts(model)
    with pytest.raises(tightrope.RopeConfigError, match=re.escape(message)):
        tightrope.patch(model)
    assert parts(model) == before


@pytest.mark.usefixtures("untouched")
def test_a_configuration_that_was_changed_after_the_model_was_built(llama):
    llama.config.rope_parameters["rope_theta"] = 10_000.0
    with pytest.raises(tightrope.RopeConfigError, match=r"does not rotate as its configuration says.*base 10,000"):
        tightrope.patch(llama)


@pytest.mark.usefixtures("untouched")
def test_frequencies_that_were_overwritten(llama):
    llama.model.rotary_emb.inv_freq[3] *= 1.001
    with pytest.raises(tightrope.RopeConfigError, match="or inv_freq overwritten, or never initialised"):
        tightrope.patch(llama)


def test_the_configuration_s_word_is_taken_where_the_caller_says_so(llama):
    llama.model.rotary_emb.inv_freq[3] *= 1.001
    report = tightrope.patch(llama, verify=False)
    assert any("differ from the configuration's" in note for note in report.notes)


BROKEN = {"not finite": float("nan"), "all zero": 0.0}


@pytest.mark.parametrize("trouble", BROKEN)
@pytest.mark.usefixtures("untouched")
def test_frequencies_that_were_never_initialised(llama, trouble):
    llama.model.rotary_emb.inv_freq.fill_(BROKEN[trouble])
    words = f"rotary_emb: its inv_freq is {trouble}, as memory that nothing was written to: loading by way of the meta"
    with pytest.raises(tightrope.RopeConfigError, match=words):
        tightrope.patch(llama)


@pytest.mark.parametrize("value", [*BROKEN.values(), 3e5])
@pytest.mark.parametrize("name", ["llama", "cohere2", "gpt_oss", "gemma3_text"])
def test_without_verify_a_model_with_uninitialised_frequencies_rotates_as_if_built_anew(name, value):
    """Whatever form cos and sin have in the family: halves, pairs, single, one by layer type."""
    model = hf_models.fresh(name)
    with tightrope.patched(model):
        right = hf_models.logits(model)
    for part in model.modules():
        for buffer, tensor in part.named_buffers(recurse=False):
            if "inv_freq" in buffer:
                tensor.fill_(value)
    tightrope.patch(model, verify=False)
    assert torch.equal(hf_models.logits(model), right)


@pytest.mark.usefixtures("untouched")
def test_a_configuration_of_another_width(llama):
    config = {**tiny_models.SIZES, "model_type": "llama", "head_dim": 32}
    with pytest.raises(tightrope.RopeConfigError, match=r"gives \[\(1, 5, 16\), \(1, 5, 16\)\] .*no form of"):
        tightrope.patch(llama, config)


@pytest.mark.usefixtures("untouched")
def test_a_configuration_of_another_layout(llama):
    config = {**llama.config.to_dict(), "model_type": "cohere"}
    with pytest.raises(tightrope.RopeConfigError, match=r"rotates by .*half.*the configuration says .*interleaved"):
        tightrope.patch(llama, config, verify=False)


@pytest.mark.usefixtures("untouched")
def test_a_forward_method_that_somebody_else_replaced(llama):
    attention = llama.model.layers[1].self_attn
    attention.forward = attention.forward
    with pytest.raises(tightrope.RopeConfigError, match=r"LlamaAttention.forward was replaced by something else"):
        tightrope.patch(llama)
    del attention.forward


@pytest.mark.usefixtures("untouched")
def test_a_rotary_module_that_is_called_otherwise(llama, monkeypatch):
    monkeypatch.setattr(type(llama.model.rotary_emb), "forward", lambda self, x, offsets: (x, offsets))
    with pytest.raises(tightrope.RopeConfigError, match=r"transformers \d.* is not called with \(x, position_ids\)"):
        tightrope.patch(llama)


def test_layers_that_share_out_several_rotary_modules_among_themselves():
    from transformers import AutoConfig, AutoModel

    scaled = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}
    fields = {**tiny_models.SIZES, "head_dim": 16, "rope_parameters": scaled, "rope_scaling_layers": [1]}
    model = AutoModel.from_config(AutoConfig.for_model("molmo2_text", **fields))
    before = parts(model)
    words = (
        "rotary_emb (Molmo2RotaryEmbedding) is not asked for a layer_type: which of the ropes 'scaled', 'unscaled' it "
        "gives to which layer is in the model's own code, and cannot be told. Leave this model unpatched, or rotate in "
        "its attention by RotaryEmbedding(tightrope.read(config)).for_layer(layer). Nothing was changed"
    )
    with pytest.raises(tightrope.RopeConfigError, match=re.escape(words)):
        tightrope.patch(model)
    assert parts(model) == before


@pytest.mark.usefixtures("untouched")
def test_options_that_do_not_exist(llama):
    with pytest.raises(tightrope.RopeConfigError, match="policy must be one of"):
        tightrope.patch(llama, policy="newest")


def test_patching_twice(llama):
    tightrope.patch(llama)
    with pytest.raises(tightrope.RopeConfigError, match="patched already"):
        tightrope.patch(llama)


def test_patching_a_part_of_a_patched_model(llama):
    tightrope.patch(llama)
    with pytest.raises(tightrope.RopeConfigError, match="patched already"):
        tightrope.patch(llama.model)


def test_unpatching_what_is_not_patched(llama):
    with pytest.raises(tightrope.RopeConfigError, match="not patched"):
        tightrope.unpatch(llama)


def test_unpatching_after_somebody_else_replaced_a_part(llama):
    tightrope.patch(llama)
    ours = llama.model.rotary_emb
    llama.model.rotary_emb = torch.nn.Identity()
    with pytest.raises(tightrope.RopeConfigError, match="rotary_emb of 1 patched parts was replaced again"):
        tightrope.unpatch(llama)
    llama.model.rotary_emb = ours
    tightrope.unpatch(llama)


def test_an_error_in_the_body_of_a_with_statement_leaves_the_model_as_it_was(llama):
    rotary = llama.model.rotary_emb
    with pytest.raises(ZeroDivisionError), tightrope.patched(llama):
        _ = 1 / 0
    assert llama.model.rotary_emb is rotary


class Fragile:
    """Takes one attribute and no second one."""

    first = property(lambda self: vars(self)["kept"], lambda self, value: vars(self).update(kept=value))
    second = property(lambda self: "old")


def test_a_swap_that_fails_takes_back_those_before_it():
    fragile = Fragile()
    fragile.first = "old"
    swaps = [Swap(fragile, "first", "new", "old"), Swap(fragile, "second", "new", "old")]
    with pytest.raises(AttributeError):
        Changes.planned(swaps, PatchReport("a model", ())).make()
    assert vars(fragile) == {"kept": "old"}


@pytest.mark.parametrize("call", [tightrope.patch, tightrope.unpatch])
def test_a_class_in_place_of_a_model(call):
    words = r"model must be a loaded model, got the class LlamaForCausalLM: give LlamaForCausalLM.from_pretrained\(…\)"
    with pytest.raises(tightrope.RopeConfigError, match=words):
        call(transformers.LlamaForCausalLM)


def test_a_module_that_holds_several_models(llama):
    both = torch.nn.ModuleDict({"teacher": llama, "student": llama.model})
    words = "ModuleDict holds several models: teacher (LlamaForCausalLM), student (LlamaModel); patch each. Nothing"
    with pytest.raises(tightrope.RopeConfigError, match=re.escape(words)):
        tightrope.patch(both)


def test_unpatching_a_layer_of_a_patched_model(llama):
    tightrope.patch(llama)
    with pytest.raises(tightrope.RopeConfigError, match="this is a part of a patched model"):
        tightrope.unpatch(llama.model.layers[0])
    tightrope.unpatch(llama)


def test_unpatching_after_somebody_else_put_a_forward_method_on_attention(llama):
    tightrope.patch(llama)
    attention = llama.model.layers[0].self_attn
    attention.forward = lambda *args, **kwargs: None
    with pytest.raises(tightrope.RopeConfigError, match="forward of 1 patched parts was replaced again"):
        tightrope.unpatch(llama)


def test_attention_whose_rotation_is_not_known_keeps_its_own_with_exact_angles(llama, monkeypatch):
    from transformers.models.llama import modeling_llama

    def apply_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim=1):
        return q + cos.unsqueeze(1), k + sin.unsqueeze(1)

    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", apply_rotary_pos_emb)
    report = tightrope.patch(llama)
    assert {(part.action, part.why) for part in report.layers} == {
        ("angles", "apply_rotary_pos_emb is no rotation known here")
    }
    assert not llama.model.rotary_emb.in_float32


def test_a_forward_method_behind_a_decorator_that_hides_it_keeps_its_own_rotation(llama, monkeypatch):
    monkeypatch.setattr(hf_forward, "_copied", lambda *arguments: None)
    monkeypatch.setattr("tightrope.backends.torch.transformers.handler.rebound", lambda *arguments: None)
    report = tightrope.patch(llama)
    assert {part.why for part in report.layers} == {"its forward method is wrapped"}


@pytest.mark.parametrize("verify", [True, False])
def test_a_tower_of_patches_is_left_to_itself(verify):
    config = transformers.PixtralVisionConfig(
        hidden_size=32, num_attention_heads=2, head_dim=16, num_hidden_layers=1, intermediate_size=32
    )
    tower = transformers.PixtralVisionModel(config)
    with pytest.raises(tightrope.RopeConfigError, match="turns patches by row and column, which is left to it"):
        tightrope.patch(tower, verify=verify)
