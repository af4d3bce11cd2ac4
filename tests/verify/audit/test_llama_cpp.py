"""The audit of llama.cpp: what is right, and two mistakes that it must catch."""

import json
import os
import subprocess
import sys
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


# Of a shared library: 64 bits, little-endian, for machine 0xF3 (RISC-V), one that no other is taken for.
OF_ANOTHER_MACHINE = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xf3\x00\x01\x00\x00\x00" + bytes(40)


@pytest.mark.parametrize("content", [OF_ANOTHER_MACHINE, b"text", None], ids=["another machine", "no library", "none"])
def test_a_wheel_that_does_not_load_here_is_no_refusal_of_the_model(tmp_path, monkeypatch, content):
    package = tmp_path / "xllamacpp"
    package.mkdir()
    (package / "__init__.py").write_text("")
    if content is not None:
        (package / "xllamacpp.abi3.so").write_bytes(content)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (peer,) = audit(CONFIG, ["llama.cpp"]).peers
    assert peer.status == "unusable"
    assert "cannot be examined here: xllamacpp.abi3.so of xllamacpp does not load on" in peer.verdict
    assert not peer.fixable


def test_an_architecture_that_llama_cpp_does_not_have_is_quoted(model):
    with pytest.raises(PeerRefuses, match="unknown model architecture: 'no-such-architecture'"):
        build_file(GgufFile("no-such-architecture", KEYS, {}), model)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}, "scaling ignored"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024,
                           "attention_factor": 1.5}}, "attention factor"),
    ],
    ids=["dynamic NTK", "attention_factor"],
)  # fmt: skip
def test_what_gguf_has_no_key_for_is_found(changes, cause):
    (peer,) = audit({**CONFIG, **changes}, ["llama.cpp"]).peers
    assert (peer.status, peer.causes) == ("wrong", (cause,))


@pytest.mark.parametrize(("context", "side"), [(4096, "short"), (16384, "long")])
def test_longrope_has_the_factors_of_its_context_at_every_length(context, side):
    block = {"short_factor": [1.0] * 32, "long_factor": [2.0] * 32, "original_max_position_embeddings": 4096}
    config = {**CONFIG, "model_type": "phi3", "max_position_embeddings": 16384}
    config["rope_scaling"] = {"rope_type": "longrope", **block}
    (peer,) = audit(config, ["llama.cpp"], context=context).peers
    assert (peer.status, peer.causes) == ("wrong", (f"{side} factors always",))
    assert f"context {context:,}" in peer.verdict


def test_a_config_json_says_which_header_was_assumed():
    (peer,) = audit(CONFIG, ["llama.cpp"]).peers
    assert "the llama header that convert --to gguf-metadata prints" in peer.verdict
    with pytest.warns(tightrope.RopeWarning, match="internlm3x"):
        (other,) = audit({**CONFIG, "model_type": "internlm3x", "head_dim": 64}, ["llama.cpp"]).peers
    assert other.status == "absent"


AUDITED = """
import re, resource, sys
from pathlib import Path
from tightrope.verify.audit import audit
(peer,) = audit(sys.argv[1], ["llama.cpp"]).peers
# Not ru_maxrss of this process, which keeps what its parent held when it forked.
own = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
used = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(peer.status, used * 1024 / 1e9)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of memory is read from Linux's /proc")
def test_forty_gigabytes_are_audited_from_their_header(tmp_path):
    keys = {**SHAPE, "block_count": 80, "embedding_length": 8192, "attention.head_count": 64, "context_length": 131072}
    path = write(tmp_path / "model.gguf", "llama", keys)
    os.truncate(path, 40 * 10**9)
    done = subprocess.run([sys.executable, "-c", AUDITED, path], capture_output=True, text=True, check=True)
    status, gigabytes = done.stdout.split()
    assert status in ("agrees", "rounding")
    assert float(gigabytes) < 1


def test_more_layers_than_virtual_weights_allow_are_refused(model):
    wide = replace(model.rope(), head_dim=1024, rotary_dim=1024)
    tall = replace(model, ropes={"default": wide}, layers=("default",) * 500)
    with pytest.raises(PeerRefuses, match=r"500 layers of heads of 1024 channels need .* GiB of virtual weights"):
        build_file(GgufFile("llama", KEYS, {}), tall)
