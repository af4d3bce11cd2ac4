"""The audit of llama.cpp: what is right, and two mistakes that it must catch."""

import json
from dataclasses import replace

import pytest

import tightrope
from samples.gguf_files import SHAPE, write
from tightrope.rope.reading.gguf.file import GgufFile
from tightrope.verify.audit import audit
from tightrope.verify.audit.comparison import compare, rotate_by
from tightrope.verify.audit.peer_llama_cpp import build_file
from tightrope.verify.audit.peers import PeerRefuses

pytest.importorskip("xllamacpp", reason="llama.cpp is not installed (the extra llama-cpp)")

KEYS = {"block_count": 2, "context_length": 8192, "attention.key_length": 64, "rope.freq_base": 5e5}
CONFIG = {
    "model_type": "llama",
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "max_position_embeddings": 4096,
    "rope_theta": 500000.0,
}


@pytest.fixture
def model(tmp_path):
    return tightrope.read(write(tmp_path / "model.gguf", "llama", {**SHAPE, **KEYS}))


def explained(file, model):
    built = build_file(file, model)
    return compare(rotate_by(built, 0, model.rope()), model.rope(), multiplies=True).explained


def test_the_same_header_is_explained_by_rounding(model):
    assert explained(GgufFile("llama", KEYS, {}), model)


def test_a_base_one_percent_off_is_caught(model):
    assert not explained(GgufFile("llama", {**KEYS, "rope.freq_base": 5.05e5}, {}), model)


def test_the_other_layout_is_caught(model):
    assert not explained(GgufFile("qwen2", KEYS, {}), model)


def test_a_config_json_is_audited_by_the_header_that_its_converter_should_write():
    (peer,) = audit(CONFIG, ["llama.cpp"]).peers
    assert peer.status in ("agrees", "rounding")
    assert "context 4,096" in peer.verdict


def test_a_config_json_beside_a_file_is_compared_with_it(tmp_path):
    path = write(tmp_path / "model.gguf", "llama", SHAPE)
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "rope_theta": 510000.0}))
    stated = audit(path, ["llama.cpp"]).peers[-1]
    assert (stated.status, stated.peer) == ("wrong", "config.json")
    assert "base 510,000, default; file: base 500,000, default" in stated.verdict


def test_a_refusal_is_quoted_in_llama_cpp_s_own_words(model):
    with pytest.raises(PeerRefuses, match="wrong type"):
        build_file(GgufFile("llama", {**KEYS, "rope.freq_base": "five"}, {}), model)


def test_more_layers_than_virtual_weights_allow_are_refused(model):
    wide = replace(model.rope(), head_dim=1024, rotary_dim=1024)
    tall = replace(model, ropes={"default": wide}, layers=("default",) * 500)
    with pytest.raises(PeerRefuses, match=r"500 layers of heads of 1024 channels need .* GiB of virtual weights"):
        build_file(GgufFile("llama", KEYS, {}), tall)
