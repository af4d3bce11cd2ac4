"""Positions as transformers and its users give them to a patched model: packed rows, float dtypes, compiled graphs."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import numpy as np
import pytest

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from transformers import AutoConfig, AutoModelForCausalLM

import tightrope
from models import hf_models, tiny_models
from tightrope.backends.torch.transformers.rotary import HFRotary
from tightrope.rope import reference

pytestmark = pytest.mark.backend("torch")

DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
MROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [3, 3, 2]}


def dynamic():
    """A Llama whose frequencies follow the length beyond 8 tokens."""
    fields = {**tiny_models.SIZES, "max_position_embeddings": 8, "rope_parameters": DYNAMIC}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **fields), attn_implementation="eager")
    return model.eval()


def longrope():
    return HFRotary(tightrope.read(tiny_models.fields("phi3")), in_float32=True)


@pytest.mark.parametrize("make", [longrope, lambda: HFRotary(tightrope.read(dynamic().config), in_float32=True)])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_a_document_has_the_angles_that_it_has_alone(make, compiled):
    """One short of the original length, packed before and after one beyond it, and beside another row."""
    rotary = make()
    torch._dynamo.reset()
    call = torch.compile(rotary, backend="eager") if compiled else rotary
    x, short, far = torch.zeros(1), torch.arange(5), torch.cat((torch.arange(5), torch.tensor([5000])))
    packed = torch.stack((torch.cat((short, far, short)), torch.cat((far, short, short))))
    together, (alone, _), (alone_far, _) = call(x, packed)[0], rotary(x, short[None]), rotary(x, far[None])
    assert not torch.equal(alone, alone_far[:, :5])
    expected = torch.stack((torch.cat((alone, alone_far, alone), 1)[0], torch.cat((alone_far, alone, alone), 1)[0]))
    if compiled:
        torch.testing.assert_close(together, expected)
    else:
        assert torch.equal(together, expected)


def test_policy_transformers_takes_the_longest_of_all_as_transformers_does():
    rotary = HFRotary(tightrope.read(tiny_models.fields("phi3")), policy="transformers")
    x, far = torch.zeros(1), torch.tensor([[0, 1, 5000, 0, 1]])
    assert torch.equal(rotary(x, far)[0][:, :2], rotary(x, far)[0][:, 3:])


def test_the_report_says_how_documents_are_told_apart():
    assert any("packed into one row" in note for note in tightrope.patch(hf_models.fresh("phi3")).notes)
    assert not any("packed" in note for note in tightrope.patch(hf_models.fresh("phi3"), switch="long").notes)


def test_a_compiled_model_whose_frequencies_follow_the_length_runs_with_a_break_in_the_graph():
    model = dynamic()
    tightrope.patch(model)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    for length in (6, 20):
        tokens = hf_models.TOKENS[:, :length]
        torch.testing.assert_close(hf_models.logits(compiled, tokens), hf_models.logits(model, tokens))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["llama", "phi3", "gemma3_text"])
def test_whole_numbers_of_a_float_dtype_are_exact_positions(name, dtype):
    rotary, x = HFRotary(tightrope.read(tiny_models.fields(name))), torch.zeros(1)
    positions = torch.tensor([[0, 1, 4095, 1_000_003]])
    for layer_type in rotary.rope.model.ropes:
        assert torch.equal(rotary(x, positions.to(dtype), layer_type)[0], rotary(x, positions, layer_type)[0])


def test_fractions_where_positions_count_tokens_are_refused():
    rotary = HFRotary(tightrope.read(tiny_models.fields("llama")))
    with pytest.raises(tightrope.RopeConfigError, match="positions must be whole numbers, got fractions"):
        rotary(torch.zeros(1), torch.tensor([[0.0, 0.5]]))


def test_fractions_of_a_rope_with_axes_take_float32_angles_and_whole_numbers_beside_them_stay_exact():
    """As the thinker of Qwen3-Omni gives them: times of audio and video on the first axis, pixels on the others."""
    model = tightrope.read({"model_type": "qwen2_vl_text", **tiny_models.SIZES, "head_dim": 16, "rope_scaling": MROPE})
    rope, rotary = model.ropes["default"], HFRotary(model, form="single", in_float32=True)
    time, space = np.array([0.0, 7.24, 90_000.0, 123.5]), np.array([0.0, 3.0, 1_000_003.0, 5.0])
    positions = np.stack((time, space, space))[:, None]
    cos, sin = (
        part.double().numpy() for part in rotary(torch.zeros(1), torch.from_numpy(positions.astype(np.float32)))
    )
    axes = np.array(rope.mrope.pair_axes(rope.pairs))
    angles = np.moveaxis(positions.astype(np.float32)[axes].astype(np.float64), 0, -1)
    angles = angles * tightrope.frequencies(rope).inv_freq
    whole = np.moveaxis((positions == np.round(positions))[axes], 0, -1)
    # Exact angles are within 1e-7; a float32 frequency and product are each half an ulp of the angle off, and an ulp.
    bound = np.where(whole, 1e-7, 2.0**-22 * np.abs(angles) + 1e-7)
    assert (np.abs(cos - np.cos(angles)) <= bound).all()
    assert (np.abs(sin - np.sin(angles)) <= bound).all()
    exact = reference.cos_sin(rope, np.round(positions).astype(np.int64))[0]
    assert np.abs(cos - exact)[whole].max() <= 1e-7


def test_the_thinker_of_qwen3_omni_runs_on_the_positions_that_it_computes():
    """float32 by its own get_rope_index, also for plain text with an attention mask."""
    from transformers.models.qwen3_omni_moe import configuration_qwen3_omni_moe, modeling_qwen3_omni_moe

    text = {**tiny_models.SIZES, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
            "rope_parameters": {**MROPE, "mrope_interleaved": True}}  # fmt: skip
    config = configuration_qwen3_omni_moe.Qwen3OmniMoeTextConfig(**text)
    torch.manual_seed(0)
    model = modeling_qwen3_omni_moe.Qwen3OmniMoeThinkerTextModel._from_config(config).eval()
    positions = (torch.ones(2, 9).cumsum(-1) - 1).expand(3, -1, -1)
    with torch.no_grad():
        own = model(input_ids=hf_models.TOKENS[:, :9], position_ids=positions).last_hidden_state
        with tightrope.patched(model):
            patched = model(input_ids=hf_models.TOKENS[:, :9], position_ids=positions).last_hidden_state
            whole = model(input_ids=hf_models.TOKENS[:, :9], position_ids=positions.long()).last_hidden_state
    assert torch.equal(patched, whole)
    torch.testing.assert_close(patched, own)
