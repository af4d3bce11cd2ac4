"""What `tightrope.patch` refuses, what it says then, and that it has touched nothing."""

# ruff: noqa: E402  # imports follow the check that there is something to import

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
    before = hf_models.parts(llama)
    yield
    assert hf_models.parts(llama) == before


@pytest.mark.usefixtures("untouched")
def test_a_configuration_that_was_changed_after_the_model_was_built(llama):
    llama.config.rope_parameters["rope_theta"] = 10_000.0
    with pytest.raises(tightrope.RopeConfigError, match=r"does not rotate as its configuration says.*base 10,000"):
        tightrope.patch(llama)


@pytest.mark.usefixtures("untouched")
def test_a_misspelt_argument(llama):
    with pytest.raises(tightrope.RopeConfigError, match=r"patch has no argument 'presicion'; did you mean 'precision'"):
        tightrope.patch(llama, presicion="exact")
    with (
        pytest.raises(tightrope.RopeConfigError, match=r"patched has no argument 'polcy'; did you mean 'policy'"),
        tightrope.patched(llama, polcy="row"),
    ):
        pass


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
