"""How a patched transformers model rotates: as transformers does, or better, by one rounding."""

# ruff: noqa: E402  # imports follow the check that there is something to import

import gc
import weakref

import numpy as np
import pytest

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

from transformers import AutoConfig, AutoModelForCausalLM

import tightrope
from models import hf_models, tiny_models
from tightrope.backends.torch.transformers.rotary import FORMS, HFRotary, table_of
from tightrope.rope import reference

pytestmark = pytest.mark.backend("torch")


@pytest.mark.parametrize("offset", [0, hf_models.FAR])
@pytest.mark.parametrize("name", ["llama", "llama3.1", "qwen2", "phi3"])
def test_float32_mode_rotates_within_two_ulp_of_a_pair_s_norm(name, offset):
    """The unpatched rotation rounds each product and the sum, the patched one rounds once; their tables have the same
    bits but for the ulp that float32 mode leaves in one frequency of a hundred."""
    model, rope = hf_models.model(name), tightrope.read(hf_models.model(name).config).ropes["default"]
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 16, rope.head_dim)).astype(np.float32))
    own = hf_models.rotated_by(model, 0, x, offset).numpy()
    with tightrope.patched(model, **hf_models.FAITHFUL):
        new = hf_models.rotated_by(model, 0, x, offset).numpy()
    first, second = reference.pair_slices(rope.head_dim, rope.pairs, rope.layout, rope.side)
    norm = np.hypot(own[..., first], own[..., second])
    ulp = np.maximum(np.spacing(norm), np.finfo(np.float32).tiny)
    inv_freq = tightrope.frequencies(rope, offset + 16, precision="float32").inv_freq
    # One ulp of a frequency moves the angle by position · 2⁻²³ · inv_freq; elsewhere two ulp of the norm hold.
    moved = norm * (offset + 16) * np.abs(inv_freq) * 2.0**-23
    for part in (first, second):
        assert (np.abs(new - own)[..., part] <= 2 * ulp + moved).all()


def test_bfloat16_rounds_the_rotation_once():
    """transformers rounds cos, sin, both products and the sum to bfloat16; one rounding is at most half an ulp off."""
    model = hf_models.fresh("llama").to(torch.bfloat16)
    rope = tightrope.read(model.config).ropes["default"]
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)).to(torch.bfloat16)
    cos, sin = (part[:, None] for part in reference.cos_sin(rope, np.arange(16)[None]))
    exact = torch.from_numpy(reference.rotate(x.float().numpy(), cos, sin, layout="half"))
    own = (hf_models.rotated_by(model, 0, x, 0).double() - exact).abs().max()
    with tightrope.patched(model):
        rotated = hf_models.rotated_by(model, 0, x, 0)
    assert rotated.dtype == torch.bfloat16
    assert torch.equal(rotated, exact.to(torch.bfloat16))
    assert own > (rotated.double() - exact).abs().max()


def test_a_cast_to_bfloat16_that_reached_inv_freq_is_mended():
    """`model.to(bfloat16)` rounds the model's own frequencies too: at position 40,000 they mean nothing any more."""
    model = hf_models.fresh("llama").to(torch.bfloat16)
    assert model.model.rotary_emb.inv_freq.dtype == torch.bfloat16
    tightrope.patch(model)
    cos, _ = model.model.rotary_emb.rope.cos_sin(torch.tensor([[hf_models.FAR]]))
    exact, _ = reference.cos_sin(tightrope.read(model.config).ropes["default"], [[hf_models.FAR]])
    np.testing.assert_allclose(cos.numpy(), exact, atol=1e-7)  # the bound of precision "exact", README


def test_a_patched_gpt_neox_rotates_an_unusual_spelling():
    """rotary_pct and rotary_emb_base, a partial rotation with pass-through, a rotary module with its own name."""
    config = AutoConfig.for_model("gpt_neox", **{**tiny_models.SIZES, "rotary_pct": 0.25, "rotary_emb_base": 30_000})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    own = hf_models.logits(model)
    with tightrope.patched(model, **hf_models.FAITHFUL) as report:
        torch.testing.assert_close(hf_models.logits(model), own)
    assert "base 30,000, 4 of 16 channels" in report.layers[0].rope


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("made_here", [True, False], ids=["as it was made", "copied on the way"])
def test_the_table_of_an_output_has_one_entry_per_pair(form, made_here):
    rope = tightrope.read(tiny_models.fields("llama")).ropes["default"]
    rotary, positions = HFRotary(rope, form=form, in_float32=True), torch.arange(5)[None]
    output = rotary(torch.zeros(1), positions)
    if not made_here:  # as a device hook does
        output = tuple(part.clone() for part in output) if isinstance(output, tuple) else output.clone()
    table = table_of(form, output)
    assert all(map(torch.equal, (table.cos, table.sin), rotary.rope.cos_sin(positions)))


def test_angles_that_something_changed_on_the_way_are_those_that_turn():
    model = hf_models.fresh("llama")
    tightrope.patch(model)
    x = torch.randn(1, 2, 5, 16)
    cos, sin = model.model.rotary_emb(x, torch.arange(5)[None])
    apply = hf_models.apply_function(model.model.layers[0].self_attn.forward)
    rotated, _ = apply(x, x, cos, sin)
    doubled, _ = apply(x, x, cos * 2, sin * 2)
    assert torch.equal(doubled, rotated * 2)


@pytest.mark.parametrize("form", FORMS)
def test_the_angles_of_a_step_are_freed_with_it(form):
    rotary = HFRotary(tightrope.read(tiny_models.fields("llama")).ropes["default"], form=form, in_float32=True)
    gc.disable()
    try:
        output = rotary(torch.zeros(1), torch.arange(5)[None])
        seen = weakref.ref(output if form == "complex" else output[0])
        del output
        assert seen() is None
    finally:
        gc.enable()
