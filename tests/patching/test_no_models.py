"""What is no model that `tightrope.patch` knows, or has no rotary module to replace, is refused by what it is."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import re
from pathlib import Path

import pytest

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

import tightrope
from models import hf_models, tiny_models

pytestmark = pytest.mark.backend("torch")


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
        "has no rotary module to replace: RoFormerSelfAttention applies its own rotation function. Nothing",
    ),
    "xlstm": (
        {"hidden_size": 64, "num_blocks": 1, "num_heads": 2, "vocab_size": 16},
        "has no rotary module to replace: nothing in its code rotates queries and keys. Nothing",
    ),
    "recurrent_gemma": (
        {**tiny_models.SIZES, "block_types": ["recurrent"], "lru_width": 64, "head_dim": 16},
        "has no rotary module to replace: nothing in its code rotates queries and keys. Nothing",
    ),
    "gptj": (GPT, "has no rotary module to replace: GPTJAttention applies its own rotation function. Nothing"),
    "codegen": (GPT, "has no rotary module to replace: CodeGenAttention applies its own rotation function. Nothing"),
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
def test_a_model_whose_tokens_no_rotary_module_rotates(kind):
    from transformers import AutoConfig, AutoModel

    fields, message = NOT_BY_TOKEN[kind]
    model = AutoModel.from_config(AutoConfig.for_model(kind, **fields))
    before = hf_models.parts(model)
    with pytest.raises(tightrope.RopeConfigError, match=re.escape(message)):
        tightrope.patch(model)
    assert hf_models.parts(model) == before


def test_layers_that_share_out_several_rotary_modules_among_themselves():
    from transformers import AutoConfig, AutoModel

    scaled = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}
    fields = {**tiny_models.SIZES, "head_dim": 16, "rope_parameters": scaled, "rope_scaling_layers": [1]}
    model = AutoModel.from_config(AutoConfig.for_model("molmo2_text", **fields))
    before = hf_models.parts(model)
    words = (
        "rotary_emb (Molmo2RotaryEmbedding) is not asked for a layer_type: which of the ropes 'scaled', 'unscaled' it "
        "gives to which layer is in the model's own code, and cannot be told. Leave this model unpatched, or rotate in "
        "its attention by RotaryEmbedding(tightrope.read(config)).for_layer(layer). Nothing was changed"
    )
    with pytest.raises(tightrope.RopeConfigError, match=re.escape(words)):
        tightrope.patch(model)
    assert hf_models.parts(model) == before


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


@pytest.mark.parametrize("verify", [True, False])
def test_a_tower_of_patches_is_left_to_itself(verify):
    config = transformers.PixtralVisionConfig(
        hidden_size=32, num_attention_heads=2, head_dim=16, num_hidden_layers=1, intermediate_size=32
    )
    tower = transformers.PixtralVisionModel(config)
    with pytest.raises(tightrope.RopeConfigError, match="rotates patches by row and column, which is left to it"):
        tightrope.patch(tower, verify=verify)
