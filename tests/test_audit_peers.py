"""The audit of the installed libraries: it finds what is known of them, on made-up files and on real ones."""

import pytest

from tightrope.backends import audit
from tiny_models import SIZES, fields

FILLED = {"rms_norm_eps": 1e-6}
YARN = {"rope_type": "yarn", "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}
LONG = {key: value for key, value in fields("phi3")["rope_parameters"].items() if key != "rope_theta"}


def older(model_type, scaling=None, **more):
    """A configuration with rope_theta and rope_scaling."""
    return {"model_type": model_type, **SIZES, **FILLED, "rope_theta": 500_000.0, "rope_scaling": scaling, **more}


def newer(model_type, **block):
    """A configuration with rope_parameters, as transformers 5 writes it."""
    block = {"rope_type": "default", "rope_theta": 500_000.0, **block}
    return {"model_type": model_type, **SIZES, **FILLED, "rope_parameters": block}


# What mlx-lm 0.32.2 does otherwise: one example for each class of disagreement that was measured in it.
KNOWN = {
    "rope_parameters unread, silently": (newer("llama"), "wrong", {"spelling not read"}),
    "rope_parameters unread, raising": (newer("helium"), "refuses", {"spelling not read"}),
    "rope_scaling ignored": (older("mixtral", YARN), "wrong", {"scaling ignored"}),
    "rope_scaling ignored, llama3": (
        older("qwen3_moe", fields("llama3.1")["rope_parameters"]), "wrong", {"scaling ignored"},
    ),
    "partial_rotary_factor ignored": (older("glm", partial_rotary_factor=0.5), "wrong", {"partial factor ignored"}),
    "truncate ignored": (older("gpt_oss", {**YARN, "truncate": False}), "wrong", {"truncate ignored"}),
    "attention_factor unread": (older("llama", {**YARN, "attention_factor": 1.0}), "wrong", {"attention factor"}),
    "mscale rule": (older("llama", {**YARN, "mscale": 0.7}), "wrong", {"mscale rule"}),
    "mscale rule, the other way": (older("llama", {**YARN, "mscale_all_dim": 1.0}), "wrong", {"mscale rule"}),
    "original length not taken from the model": (
        older("llama", {"rope_type": "yarn", "type": "yarn", "factor": 4.0}), "wrong", {"original length"},
    ),
    "long factors always": (
        older("phi3", {**LONG, "type": "longrope"}, head_dim=None, original_max_position_embeddings=4096), "wrong",
        {"long factors always"},
    ),
    "longrope's attention_factor unread": (
        older("llama", {**LONG, "attention_factor": 1.5}), "wrong", {"attention factor", "long factors always"},
    ),
    "dynamic agrees from fresh": (
        older("llama", {"rope_type": "dynamic", "factor": 2.0}), "rounding", {"precision only"},
    ),
    "nested softmax factor": (
        {key: value for key, value in fields("deepseek_v3").items() if key != "head_dim"} | FILLED, "wrong",
        {"spelling not read"},
    ),
    "a type that a family does not know": (
        older("internlm3", YARN, bias=False, qkv_bias=False), "refuses", {"not built"},
    ),
    "precision only": (older("llama"), "rounding", {"precision only"}),
    "mrope, text positions": (
        older("qwen2_vl", {"type": "mrope", "rope_type": "default", "mrope_section": [2, 3, 3]}), "rounding",
        {"precision only"},
    ),
}  # fmt: skip


def clean(config):
    return {key: value for key, value in config.items() if value is not None or key == "rope_scaling"}


@pytest.mark.backend("mlx")
@pytest.mark.parametrize(("config", "status", "causes"), KNOWN.values(), ids=KNOWN)
def test_every_known_class_of_disagreement_in_mlx_lm_is_found_and_named(config, status, causes):
    pytest.importorskip("mlx_lm", exc_type=ImportError)
    found = audit.audit(clean(config), ["mlx-lm"]).peers[0]
    assert (found.status, set(found.causes)) == (status, causes), found.verdict


@pytest.mark.backend("mlx")
@pytest.mark.parametrize("name", [name for name, (_, status, _) in KNOWN.items() if status == "wrong"])
def test_what_is_wrong_in_mlx_lm_is_mended_by_patching(name):
    pytest.importorskip("mlx_lm", exc_type=ImportError)
    assert audit.audit(clean(KNOWN[name][0]), ["mlx-lm"]).peers[0].mends == ""


@pytest.mark.backend("torch")
@pytest.mark.parametrize(
    "name", ["llama3.1", "qwen2", "gemma3_text", "phi3", "glm4", "deepseek_v3", "gpt_oss", "cohere2"]
)
def test_transformers_rotates_as_its_own_configurations_say(name):
    pytest.importorskip("transformers")
    assert audit.audit(fields(name), ["transformers"]).peers[0].status in ("agrees", "rounding")


@pytest.mark.backend("torch")
def test_phimoe_of_transformers_always_takes_the_short_factors():
    pytest.importorskip("transformers")
    block = {**LONG, "short_mscale": 1.1, "long_mscale": 1.2}
    config = clean(older("phimoe", block, head_dim=None, original_max_position_embeddings=4096))
    found = audit.audit(config, ["transformers"]).peers[0]
    assert "short factors always" in found.causes


@pytest.mark.backend("torch")
def test_a_type_that_transformers_does_not_have_is_absent():
    pytest.importorskip("transformers")
    assert audit.audit({**older("internlm2"), "vocab_size": 8}, ["transformers"]).peers[0].status == "absent"


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
