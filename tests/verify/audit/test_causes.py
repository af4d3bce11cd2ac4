"""The audit's arithmetic and rules, on peers made for the purpose: each wrong in one known way."""

import numpy as np
import pytest

import tightrope
from audits.peers import LLAMA31, LONG, NO_TRUNCATE, PARTIAL, WRONG, YARN, MadeUp, without_scaling
from models.tiny_models import fields
from tightrope.rope import reference
from tightrope.verify import audit
from tightrope.verify.audit import peers
from tightrope.verify.audit.comparison import OFFSETS, compare, offsets, rotate_by, vectors
from tightrope.verify.audit.peers import PeerLacks, PeerRefuses
from tightrope.verify.audit.remedies import remedies
from tightrope.verify.audit.report import PeerAudit


@pytest.fixture
def audited(monkeypatch):
    """Audit a configuration against a made-up peer."""

    def run(config, change, **options):
        monkeypatch.setattr("tightrope.verify.audit.run.load", lambda name: (MadeUp(change, **options), "1.0"))
        return audit.audit(config, ["made-up"]).peers[0]

    return run


@pytest.mark.parametrize("config", [LLAMA31, YARN, LONG, NO_TRUNCATE, PARTIAL], ids=lambda config: config["model_type"])
def test_a_peer_that_is_right_agrees(audited, config):
    assert audited(config, lambda rope: rope).status == "agrees"


@pytest.mark.parametrize(("config", "change", "causes", "words"), WRONG.values(), ids=WRONG)
def test_a_known_mistake_is_named_with_what_the_peer_does_and_what_the_file_says(
    audited, config, change, causes, words
):
    found = audited(config, change)
    assert (found.status, found.causes) == ("wrong", causes)
    assert words in found.verdict
    assert found.verdict.startswith("made-up 1.0 rotates this model ")


def test_a_mistake_that_no_rule_knows_is_called_unknown(audited):
    found = audited(LLAMA31, lambda rope: rope.replace(direction=-1))
    assert (found.status, found.causes) == ("wrong", ("unknown",))
    assert "for a reason that no rule knows" in found.verdict


def test_pairs_that_a_peer_gathers_are_the_same_rotation(audited):
    whole = {**PARTIAL, "rope_parameters": {"rope_theta": 50_000.0, "partial_rotary_factor": 1.0}}
    assert audited(whole, lambda rope: rope, gathered=True).status == "agrees"


def test_a_dropped_softmax_factor_is_wrong_even_where_the_rotation_is_right(audited):
    found = audited({**fields("deepseek_v3")}, lambda rope: rope, softmax_scale=1.0)
    assert (found.status, found.causes) == ("wrong", ("softmax factor",))
    assert "scaling the attention logits by 1 (config.json: 1.2965)" in found.verdict  # (0.1 ln 4 + 1)²


def test_float32_angles_far_out_are_rounding_and_no_mistake():
    class Single(MadeUp):
        def rotate(self, layer, x, offset):
            positions = np.arange(offset, offset + x.shape[2])[None]
            parts = reference.cos_sin(self.rope, positions, precision="float32")
            return reference.rotate(x, *(part[:, None] for part in parts), layout="half").astype(np.float32)

    peer = Single(lambda rope: rope)
    model = tightrope.read(fields("llama"))
    comparison = compare(rotate_by(peer.build(None, model), 0, model.ropes["default"]), model.ropes["default"])
    assert comparison.explained
    assert comparison.errors[131_000] > 1e-3


@pytest.mark.parametrize("error", [PeerRefuses("KeyError: 'rope_theta'"), PeerLacks("it has no model_type 'llama'")])
def test_a_peer_that_raises_is_reported_with_its_own_words(monkeypatch, error):
    class Raises:
        def build(self, config, model, context=None):
            raise error

    monkeypatch.setattr("tightrope.verify.audit.run.load", lambda name: (Raises(), "1.0"))
    found = audit.audit(LLAMA31, ["made-up"]).peers[0]
    assert found.status == ("refuses" if isinstance(error, PeerRefuses) else "absent")
    assert str(error) in found.verdict
    assert not found.ropes


def test_a_peer_that_reads_only_the_older_spelling_is_told_so(monkeypatch):
    class Older(MadeUp):
        def build(self, config, model, context=None):
            if "rope_theta" not in config:
                raise PeerRefuses("it needs rope_theta")
            return super().build(config, model)

    monkeypatch.setattr("tightrope.verify.audit.run.load", lambda name: (Older(lambda rope: rope), "1.0"))
    found = audit.audit(LLAMA31, ["made-up"]).peers[0]
    assert found.causes == ("spelling not read",)
    assert "it takes the older spelling" in found.verdict


def test_positions_are_compared_short_and_far_and_beyond_the_switch():
    assert OFFSETS == (0, 4_000, 32_768, 131_000)
    assert set(offsets(tightrope.read(LONG).ropes["default"])) == {*OFFSETS, 4097}


def test_mla_is_turned_in_the_width_that_its_rope_gets():
    assert vectors(tightrope.read(fields("deepseek_v3")).ropes["default"]).shape[-1] == 8


def test_a_model_without_rotation_is_said_to_have_none():
    found = audit.audit({"model_type": "jamba"}, [])
    assert (found.remark, found.unreadable) == ("it has no rotary position embedding", False)


def test_a_configuration_that_cannot_be_read_is_a_problem_and_no_crash():
    found = audit.audit({"model_type": "llama", "rope_scaling": {"rope_type": "spiral"}}, [])
    assert "spiral" in found.remark
    assert found.unreadable
    assert not found.wrong


def test_a_peer_that_does_not_exist():
    with pytest.raises(tightrope.RopeConfigError, match="peer must be one of 'transformers', 'mlx-lm', 'mlx-vlm'"):
        audit.audit(LLAMA31, ["candle"])


def test_a_peer_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    with pytest.raises(
        tightrope.BackendUnavailable, match=r'mlx-lm is not installed; python -m pip install .*"mlx-lm>=\d'
    ):
        audit.audit(LLAMA31, ["mlx-lm"])


def test_a_peer_that_fails_to_import(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: True)

    def broken(name):
        raise ImportError("libmlx.so: cannot open")

    monkeypatch.setattr(peers, "import_module", broken)
    with pytest.raises(tightrope.BackendUnavailable, match=r"mlx-lm is installed but failed to import: libmlx.so"):
        audit.audit(LLAMA31, ["mlx-lm"])


def test_the_summary_counts_models_by_status_and_cause(audited):
    one, two = (audited(LLAMA31, change) for change in (lambda rope: rope, without_scaling))
    total = audit.count([audit.Audit("a", (one,)), audit.Audit("b", (two,))])["made-up 1.0"]
    assert dict(total["status"]) == {"agrees": 1, "wrong": 1}
    assert dict(total["causes"]) == {"scaling ignored": 1}


@pytest.mark.filterwarnings("ignore")  # of the unknown family
def test_a_guess_of_an_unknown_family_condemns_no_library(audited):
    found = audited({**LLAMA31, "model_type": "nobody_knows"}, lambda rope: rope.replace(layout="interleaved"))
    assert (found.status, found.causes, found.remedies) == ("unjudged", (), ())
    assert "otherwise than Tightrope guesses" in found.verdict


def test_a_rope_that_no_layer_uses_is_not_judged(audited):
    config = {**fields("gemma3_text"), "layer_types": ["full_attention"] * 2, "num_hidden_layers": 2}
    found = audited(config, lambda rope: rope)
    assert [rope.key for rope in found.ropes] == ["full_attention"]


@pytest.mark.parametrize(
    ("causes", "convert"),
    [(("spelling not read",), True), (("key not read",), True), (("spelling not read", "truncate ignored"), False)],
)
def test_a_spelling_that_alone_is_wrong_is_put_right_without_code(tmp_path, causes, convert):
    (tmp_path / "config.json").write_text("{}")
    found = remedies(peers_audit(causes), "mlx-lm", str(tmp_path))
    path = tmp_path / "config.json"
    assert (found[0] == f"tightrope convert {path} --to v4 -o {path}") == convert
    assert found[-1] == "tightrope.load_mlx(path)"


@pytest.mark.parametrize(
    ("source", "command"),
    [
        ("org/model", "tightrope convert org/model --to v4 -o config.json"),
        ("a b/c.json", "tightrope convert 'a b/c.json' --to v4 -o 'a b/c.json'"),
        ({}, "tightrope convert config.json --to v4 -o config.json"),
    ],
    ids=["hub", "space", "standard input"],
)
def test_the_call_that_converts_can_be_pasted(source, command):
    assert remedies(peers_audit(("spelling not read",)), "mlx-lm", source)[0] == command


def peers_audit(causes):
    return PeerAudit("mlx-lm 1.0", "wrong", "it rotates otherwise", causes=causes)


def test_several_problems_of_a_file_stand_in_one_line():
    block = {"rope_type": "linear", "facter": 2.0}
    found = audit.audit({"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "rope_scaling": block}, [])
    assert "factor is required" in found.remark
    assert "did you mean 'factor'" in found.remark
    assert "\n" not in found.remark
