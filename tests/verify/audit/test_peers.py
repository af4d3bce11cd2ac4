"""The audit of the installed libraries, on made-up files and on real ones."""

import pytest

import tightrope
from audits.fragments import LONG, clean, older
from models.tiny_models import fields
from tightrope.verify import audit


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "name", ["llama3.1", "qwen2", "gemma3_text", "phi3", "glm4", "deepseek_v3", "gpt_oss", "cohere2"]
)
def test_transformers_rotates_as_its_own_configurations_say(name):
    pytest.importorskip("transformers")
    assert audit.audit(fields(name), ["transformers"]).peers[0].status in ("agrees", "rounding")


PHIMOE = clean(
    older("phimoe", {**LONG, "short_mscale": 1.1, "long_mscale": 1.2}, head_dim=None,
          original_max_position_embeddings=4096)
)  # fmt: skip


@pytest.mark.backend("torch")
def test_phimoe_of_transformers_always_takes_the_short_factors():
    pytest.importorskip("transformers")
    assert "short factors always" in audit.audit(PHIMOE, ["transformers"]).peers[0].causes


@pytest.mark.backend("torch")
def test_the_remedy_for_transformers_is_needed_and_enough():
    transformers = pytest.importorskip("transformers")
    fields = {key: value for key, value in PHIMOE.items() if key != "model_type"} | {"num_local_experts": 2}
    config = transformers.AutoConfig.for_model("phimoe", **fields)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with pytest.raises(tightrope.RopeConfigError, match="verify=False to take the configuration's word"):
        tightrope.patch(model)
    assert audit.PEERS["transformers"].remedy == "tightrope.patch(model, verify=False)"
    tightrope.patch(model, verify=False)


@pytest.mark.backend("torch")
def test_a_type_that_transformers_does_not_have_is_absent():
    pytest.importorskip("transformers")
    assert audit.audit({**older("internlm2"), "vocab_size": 8}, ["transformers"]).peers[0].status == "absent"


def test_a_tower_of_patches_is_not_compared():
    found = audit.audit({"model_type": "pixtral", "hidden_size": 64, "num_attention_heads": 4, "rope_theta": 1e4}, [])
    assert (found.peers, found.remark) == ((), "it is a tower of patches; text models are compared")


MULTIMODAL = older(
    "qwen2_5_vl", {"type": "mrope", "rope_type": "default", "mrope_section": [2, 3, 3]},
    vision_config={"depth": 1, "hidden_size": 64},
)  # fmt: skip
TEXT_PART = {key: value for key, value in MULTIMODAL.items() if key not in ("model_type", "vision_config")}


@pytest.mark.backend("mlx")
@pytest.mark.parametrize(
    "config",
    [MULTIMODAL, {**MULTIMODAL, "text_config": TEXT_PART}, older("llama")],
    ids=["a flat file", "a file with a text part", "text alone"],
)
def test_mlx_vlm_is_given_a_configuration_as_it_loads_one(config):
    pytest.importorskip("mlx_vlm", exc_type=ImportError)
    found = audit.audit(clean(config), ["mlx-vlm"]).peers[0]
    assert (found.status, found.mends) == ("rounding", ""), found.verdict


@pytest.mark.backend("torch", "mlx")
@pytest.mark.parametrize(
    ("spelling", "wrong", "unread"),
    [
        (None, {"deepseek-r1-0528-qwen3-8b", "glm-4-9b-chat-hf", "gpt-oss-20b", "minicpm3-4b", "phi-3.5-mini-instruct",
                "phi-3.5-moe-instruct", "phi-4-mini-instruct"}, 0),
        ("v5", None, 40),
    ],
    ids=["as published", "as transformers 5 saves them"],
)  # fmt: skip
def test_the_real_configurations(shared, spelling, wrong, unread):
    """As published few of them are rotated wrongly by mlx-lm; saved again by transformers 5, most."""
    pytest.importorskip("mlx_lm", exc_type=ImportError)
    files = sorted((shared / "configs").glob("*.json"))
    found = {path.stem: audit.audit(path, ["mlx-lm"], spelling=spelling).peers for path in files}
    peers = {name: audited[0] for name, audited in found.items() if audited}
    if wrong is not None:
        assert {name for name, peer in peers.items() if peer.status == "wrong"} == wrong
    assert sum("spelling not read" in peer.causes for peer in peers.values()) == unread
    assert not any("unknown" in peer.causes for peer in peers.values())
    assert all(peer.mends == "" for peer in peers.values() if peer.status == "wrong")


@pytest.mark.backend("torch")
def test_what_the_strict_classes_of_transformers_refuse_is_a_refusal():
    pytest.importorskip("transformers")
    found = audit.audit({**fields("llama3.1"), "rms_norm_eps": "1e-5"}, ["transformers"]).peers[0]
    assert found.status == "refuses"
    assert "rms_norm_eps" in found.verdict


@pytest.mark.backend("mlx")
def test_layers_that_a_file_does_not_count_are_those_of_the_library():
    pytest.importorskip("mlx_lm", exc_type=ImportError)
    config = {key: value for key, value in clean(older("gemma3_text")).items() if key != "num_hidden_layers"}
    (found,) = audit.audit(config, ["mlx-lm"]).peers
    assert found.status in ("agrees", "rounding")


@pytest.mark.backend("torch")
def test_a_rope_that_is_built_only_where_the_configuration_asks_for_it_is_found():
    pytest.importorskip("transformers")
    asked = {**fields("llama3.1"), "model_type": "granitemoehybrid", "position_embedding_type": "rope",
             "layer_types": ["attention"] * 2, "num_local_experts": 2, "num_experts_per_tok": 1}  # fmt: skip
    assert audit.audit(asked, ["transformers"]).peers[0].status in ("agrees", "rounding")
