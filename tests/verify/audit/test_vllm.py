"""The audit of vLLM: what is made of the tables that its process leaves, and the process itself where vLLM is here."""

from pathlib import Path

import numpy as np
import pytest

import tightrope
from models.tiny_models import fields
from tightrope.rope import reference
from tightrope.verify import audit
from tightrope.verify.audit import peer_vllm

ROWS = 40_000


@pytest.fixture
def audited(monkeypatch):
    """Audit a configuration against a vLLM whose tables are those of another rope."""

    def run(config, change=lambda rope: rope, *, rows=ROWS, longest=ROWS, **found):
        rope = change(tightrope.read(config).ropes["default"])
        cos, sin = reference.cos_sin(rope, np.arange(rows)[None], seq_len=rows)

        def elsewhere(folder, context):
            np.savez(Path(folder) / "tables.npz", t=np.concatenate((cos[0], sin[0]), -1).astype(np.float32))
            layer = {"table": "t", "neox": rope.layout == "half"}
            return {"layers": {"0": layer}, "max_model_len": longest, **found}

        monkeypatch.setattr(peer_vllm, "_built_elsewhere", elsewhere)
        monkeypatch.setattr("tightrope.verify.audit.run.load", lambda name: (peer_vllm, "0.32.0"))
        return audit.audit(config, ["vllm"]).peers[0]

    return run


def test_right_tables_agree_as_far_as_they_are_served(audited):
    found = audited(fields("llama3.1"))
    assert found.status in ("agrees", "rounding")
    assert sorted(found.ropes[0].errors) == [0, 4_000, 32_768]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda rope: rope.replace(base=rope.base * 1.01), "base ignored"),
        (lambda rope: rope.replace(layout="interleaved"), "layout"),
    ],
)
def test_a_base_of_one_percent_more_and_the_other_layout_are_caught(audited, change, cause):
    found = audited(fields("llama3.1"), change)
    assert (found.status, found.causes) == ("wrong", (cause,))
    assert not found.fixable


def test_a_table_that_ends_before_the_context_is_said(audited):
    found = audited(fields("llama3.1"), rows=8_192)
    assert found.status == "refuses"
    assert "its table ends at position 8,192, before max_model_len" in found.verdict


@pytest.mark.parametrize(("moved", "status"), [(False, "refuses"), (True, "absent")])
def test_what_its_process_says_is_quoted(audited, moved, status):
    found = audited(fields("llama3.1"), error="ValueError: no such thing", moved=moved)
    assert (found.status, "no such thing" in found.verdict) == (status, True)


def test_few_layers_and_experts_are_built_with_the_same_ropes():
    config = {"num_hidden_layers": 64, "num_experts": 128, "layer_types": ["full_attention"] * 64, "rope_theta": 1e6}
    cut = peer_vllm.narrow({"text_config": config, "quantization_config": {}})["text_config"]
    assert (cut["num_hidden_layers"], cut["num_experts"], len(cut["layer_types"])) == (8, 8, 8)
    assert cut["rope_theta"] == 1e6


def test_a_process_that_cannot_import_vllm_is_an_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(peer_vllm, "_SECONDS", 120)
    pytest.importorskip("torch")
    found = peer_vllm._built_elsewhere(str(tmp_path), None)
    assert "error" in found  # an empty folder, with vLLM or without it


def test_vllm_itself_rotates_llama_right():
    pytest.importorskip("vllm", exc_type=ImportError)
    config = {**fields("llama3.1"), "architectures": ["LlamaForCausalLM"]}
    assert audit.audit(config, ["vllm"]).peers[0].status in ("agrees", "rounding")
