"""The audit of vLLM: its process, and two mistakes that it must catch, in vLLM where it is installed and pretended."""

import os
from importlib.util import find_spec

import pytest

from audits import pretended_vllm
from tightrope.verify import audit
from tightrope.verify.audit import peer_vllm

pytest.importorskip("torch")
pytestmark = pytest.mark.backend("torch")

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 128, "num_attention_heads": 2,
    "num_key_value_heads": 2, "num_hidden_layers": 2, "intermediate_size": 64, "vocab_size": 64, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 8192, "rope_theta": 500_000.0, "tie_word_embeddings": False, "hidden_act": "silu",
}  # fmt: skip
COHERE = {**LLAMA, "model_type": "cohere", "architectures": ["CohereForCausalLM"], "layer_norm_eps": 1e-5}
INSTALLED = find_spec("vllm") is not None


@pytest.fixture(scope="module", params=["pretended", "vLLM"])
def worker(request, tmp_path_factory):
    """The process that builds vLLM's models, one for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "vLLM" and not INSTALLED:
            pytest.skip("vLLM is not installed (the extra vllm)")
        if request.param == "pretended":
            folder = pretended_vllm.write(tmp_path_factory.mktemp("pretended"))
            patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        started = peer_vllm.Worker()
        yield started
        started.close()


class Given:
    """vLLM, given another config.json than the one that it is judged by."""

    def __init__(self, changes):
        self.changes = changes

    def build(self, config, model, context=None):
        return peer_vllm.build({**config, **self.changes}, model, context)


@pytest.fixture
def audited(monkeypatch, worker):
    """Audit a configuration against a vLLM that is given it with changes."""

    def run(config=LLAMA, context=None, **changes):
        monkeypatch.setattr(peer_vllm, "_worker", lambda: worker)
        monkeypatch.setattr("tightrope.verify.audit.run.load", lambda name: (Given(changes), "0.32.0"))
        return audit.audit(config, ["vllm"], context=context).peers[0]

    return run


@pytest.mark.parametrize("config", [LLAMA, COHERE], ids=["half", "interleaved"])
def test_its_own_tables_agree_as_far_as_they_are_served(audited, config):
    found = audited(config)
    assert found.status in ("agrees", "rounding"), found.verdict
    assert sorted(found.ropes[0].errors) == [0, 4_000]
    assert "assumed: max_model_len 8,192" in found.verdict


def test_the_context_is_its_max_model_len(audited):
    found = audited(context=2048)
    assert sorted(found.ropes[0].errors) == [0]
    assert "assumed: max_model_len 2,048" in found.verdict


def test_a_base_one_percent_off_is_caught(audited):
    found = audited(rope_theta=505_000.0)
    assert (found.status, found.causes, found.fixable) == ("wrong", ("base ignored",), False)


def test_the_other_layout_is_caught(audited):
    found = audited(model_type="cohere", architectures=COHERE["architectures"], layer_norm_eps=1e-5)
    assert (found.status, found.causes) == ("wrong", ("layout",))


class TestPretended:
    """What vLLM does only where something is amiss."""

    @pytest.fixture(autouse=True)
    def pretended(self, worker, request):
        if request.node.callspec.params["worker"] != "pretended":
            pytest.skip("vLLM cannot be told to do this")

    def test_a_table_that_ends_before_the_context_is_said(self, audited):
        found = audited(pretend="short")
        assert (found.status, found.causes) == ("wrong", ("table ends",))
        assert "reading past its table of cos and sin, which ends at position 64 of 8,192" in found.verdict

    def test_a_model_that_it_does_not_build_is_refused_in_its_own_words(self, audited):
        found = audited(pretend="refuse")
        assert found.status == "refuses"
        assert found.verdict == "vllm 0.32.0 does not build this model: KeyError: 'no_such_key'"

    def test_a_model_that_runs_by_transformers_own_code_has_no_rope_of_vllm_s(self, audited):
        found = audited(pretend="transformers")
        assert found.status == "absent"
        assert "TransformersForCausalLM runs it by transformers' own code" in found.verdict

    def test_a_type_that_only_its_own_repository_knows_is_built_with_a_plain_configuration_class(self, audited):
        found = audited(model_type="baichuan_of_its_own")
        assert found.status in ("agrees", "rounding")
        assert "a plain configuration class for baichuan_of_its_own" in found.verdict

    def test_a_process_that_ends_is_said_and_the_next_model_is_built(self, audited):
        assert "its process ended with status 3" in audited(pretend="end").verdict
        assert audited().status in ("agrees", "rounding")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"__init__": "raise OSError('wrong ELF class')"},
            "cannot be examined here: it does not import: OSError: wrong",
        ),
        ({"distributed": ""}, "cannot import name 'init_distributed_environment'"),
        ({"__init__": "import os; os._exit(2)"}, "its process ended with status 2"),
    ],
    ids=["does not import", "a name has moved", "ends"],
)
def test_a_vllm_that_cannot_be_examined_is_not_a_model_that_it_does_not_build(tmp_path, monkeypatch, changed, said):
    folder = pretended_vllm.write(tmp_path, **changed)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    started = peer_vllm.Worker()
    monkeypatch.setattr(peer_vllm, "_worker", lambda: started)
    monkeypatch.setattr("tightrope.verify.audit.run.load", lambda name: (peer_vllm, "0.33.0"))
    (found,) = audit.audit(LLAMA, ["vllm"]).peers
    started.close()
    assert found.status == "unusable"
    assert said in found.verdict
    assert ("the inside of vLLM 0.32" in found.verdict) == ("name" in said)


def test_few_layers_and_experts_are_built_with_the_same_ropes():
    config = {"num_hidden_layers": 64, "num_experts": 128, "layer_types": ["full_attention"] * 64, "rope_theta": 1e6}
    cut = peer_vllm.narrow({"text_config": config, "quantization_config": {}})["text_config"]
    assert (cut["num_hidden_layers"], cut["num_experts"], len(cut["layer_types"])) == (8, 8, 8)
    assert cut["rope_theta"] == 1e6
