"""Every key that states a rotation counts in an architecture of llama.cpp, or a note says that it does not."""

import pytest

from samples.llama_cpp_headers import header
from tightrope import RopeConfigError
from tightrope.rope.reading.gguf.architectures import ARCHITECTURES
from tightrope.rope.reading.gguf.model import model_of
from tightrope.rope.reading.gguf.unread import KNOWN_KEYS

YARN = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 4096}
# A value that would change something, and the keys without which it could not.
VALUES = {
    "attention.compress_rope_freq_base": (3e4, {}),
    "attention.recurrent_layers": ([False, True, True, False] * 2, {}),
    "full_attention_interval": (2, {}),
    "attention.rope_pattern": ([False, True, True, True] * 2, {}),
    "attention.temperature_length": (500, {"attention.temperature_scale": 0.1, **YARN}),
    "attention.temperature_scale": (0.2, YARN),
    "rope.dimension_count": (16, {}),
    "rope.dimension_count_swa": (16, {}),
    "rope.dimension_sections": ([16, 8, 8, 0], {}),
    "rope.freq_base": (3e4, {}),
    "rope.freq_base_swa": (3e4, {}),
    "rope.scale_linear": (3.0, {}),
    "rope.scaling.alpha": (50.0, {}),
    "rope.scaling.attn_factor": (1.5, YARN),
    "rope.scaling.factor": (3.0, {}),
    "rope.scaling.type": ("yarn", {"rope.scaling.factor": 4.0}),
    "rope.scaling.original_context_length": (8192, {**YARN, "rope.scaling.original_context_length": None}),
    "rope.scaling.yarn_attn_factor": (1.5, YARN),
    "rope.scaling.yarn_beta_fast": (16.0, YARN),
    "rope.scaling.yarn_beta_slow": (2.0, YARN),
    "rope.scaling.yarn_log_multiplier": (0.5, YARN),
    "rope.frequency_base": (3e4, {}),
    "rope.global.freq_base": (3e4, {}),
    "rope.scaling_beta": (0.3, YARN),
    "attention.use_rope": (False, {}),
}
# Refused where it is not 1; of effect in Granite alone, where others write it for every file.
BESIDE = {"rope.scaling.yarn_ext_factor", "rope.scaling.finetuned"}


def outcome(architecture, keys):
    try:
        model = model_of(header(architecture, keys))
    except RopeConfigError as error:
        return str(error), ()
    return (model.ropes, model.layers, model.softmax_scale, model.query_scales), model.notes


def test_every_known_key_is_tried():
    assert set(VALUES) >= KNOWN_KEYS - BESIDE


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_each_key_changes_what_is_read_or_is_noted(architecture):
    for key, (value, around) in VALUES.items():
        before, _ = outcome(architecture, around)
        after, notes = outcome(architecture, {**around, key: value})
        assert after != before or any(key in note for note in notes), f"{architecture}.{key} is dropped in silence"


def test_many_keys_are_counted_not_listed():
    model = model_of(header("llama", {f"rope.strange_{index}": 2.0 for index in range(1000)}))
    assert any("980 more keys" in note for note in model.notes)
    assert len(model.notes) < 30


@pytest.mark.parametrize(
    "key",
    [
        "roep.freq_base",
        "rotary.freq_base",
        "swa.rope.freq_base",
        "rotary_dim",
        "position_embedding_type",
        "attention.swa_theta",
        "attention.mscale",
        "attention.logn",
        "attention.full_attention_layers",
    ],
)
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "deepseek2"])
def test_a_key_of_another_place_or_a_misspelt_one_is_noted(architecture, key):
    before, _ = outcome(architecture, {})
    after, notes = outcome(architecture, {key: 3.0})
    assert after == before
    assert any(f"{architecture}.{key} (3.0) is not read" in note for note in notes)


@pytest.mark.parametrize("architecture", ["gemma4", "mimo2", "step35", "dots3note"])
def test_the_widths_of_values_state_no_rotation(architecture):
    _, notes = outcome(architecture, {"attention.value_length_swa": 64})
    assert not any("value_length" in note for note in notes)
