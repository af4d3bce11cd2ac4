"""No key that states a rotation is dropped in silence: it is consumed, noted or refused."""

import json
import warnings

import pytest

import tightrope
from tightrope.rope.reading.statements import sounds_like_position

SHAPE = {
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 8,
    "max_position_embeddings": 8192,
}
LLAMA = {"model_type": "llama", **SHAPE, "rope_theta": 1e4}
NOVEL = {"model_type": "novel", **SHAPE, "rope_theta": 1e4}

# Keys of published files and of published code that no Llama reads, and a misspelling of one that it does.
UNREAD = {
    "swa_rope_theta": 1e4,
    "qk_rope_head_dim": 64,
    "position_embedding_type": "alibi",
    "use_positional_embeddings": False,
    "self_attn_use_rope": False,
    "full_attention_layers": [0, 4],
    "orig_max_position_embeddings": 2048,
    "rope_tetha": 5e5,
    "roep_scaling": {"rope_type": "linear", "factor": 2.0},
    "partial_rotray_factor": 0.5,
    "rotary_scale": 2.0,
    "learned_rope_freqs": True,
    "rope_type": "yarn",
    "layer_rope_theta": [1e4] * 8,
    "rope_local_base_freq": None,
    "rope_heads": 4,
    "rotary_bias": True,
    "swa_num_attention_heads": 8,
    "positonal_embedding_type": "learned",
    "use_logn_attn": True,
    "long_factor": [1.0] * 64,
    "original_context_length": 2048,
    "llama_4_scaling": {"beta": 0.1},
}


def read(config):
    """Return a model and the texts of the warnings of reading it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = tightrope.read(config)
    assert all(issubclass(one.category, tightrope.RopeWarning) for one in caught)
    return model, [str(one.message) for one in caught]


@pytest.mark.parametrize("key", UNREAD)
class TestInAKnownFamily:
    def test_is_noted(self, key):
        model, warned = read({**LLAMA, key: UNREAD[key]})
        assert any(key in note and "is not read" in note for note in model.notes)
        assert warned == []

    def test_is_an_error_when_reading_is_strict(self, key):
        with pytest.raises(tightrope.RopeConfigError, match=f"{key} .* is not read"):
            tightrope.read({**LLAMA, key: UNREAD[key]}, strict=True)

    def test_is_noted_within_the_language_model(self, key):
        config = {"model_type": "llava", "text_config": {**LLAMA, key: UNREAD[key]}}
        assert any(f"text_config.{key} " in note for note in read(config)[0].notes)


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gemma3_text", "exaone4", "afmoe"])
def test_layers_that_another_family_would_leave_without_position_keep_theirs(model_type):
    # Only Llama 4, SmolLM3 and Mistral Large 4 read this list, in transformers as in mlx-lm.
    config = {**SHAPE, "model_type": model_type, "head_dim": 128, "rope_theta": 1e4}
    model = tightrope.read({**config, "no_rope_layers": [0, 1] * 4})
    assert model.layers == tightrope.read(config).layers
    assert any("no_rope_layers" in note and "is not read" in note for note in model.notes)


@pytest.mark.parametrize(
    "key", ["swa_rope_theta", "full_attention_layers", "rope_tetha", "rotary_scale", "roep_scaling", "layer_rope_theta"]
)
def test_in_an_unknown_family_a_key_is_warned_of(key):
    model, warned = read({**NOVEL, key: UNREAD[key]})
    assert any(key in text for text in warned)
    assert any(key in note for note in model.notes)


def test_a_misspelt_key_is_named_with_the_right_one():
    note = next(note for note in read({**LLAMA, "rope_tetha": 5e5})[0].notes if "rope_tetha" in note)
    assert note == "rope_tetha (500000.0) is not read; did you mean 'rope_theta'?"


@pytest.mark.parametrize(
    "keys",
    [
        {"use_rope": True},
        {"rotary": 1},
        {"position_embedding_type": "rope"},
        {"rope_interleave": False},
        {"rotary_pct": 1.0},
        {"rotary_dim": 128},
        {"rotary_emb_base": 10000},
        {"use_mrope": False},
        {"alibi": False},
        {"rope_scaling": {}},
        {"qk_rope_head_dim": None},
    ],
    ids=str,
)
def test_a_key_that_agrees_with_what_was_read_needs_no_word(keys):
    assert read({**LLAMA, **keys}) == (tightrope.read(LLAMA), [])
    tightrope.read({**LLAMA, **keys}, strict=True)


@pytest.mark.parametrize("keys", [{"rotary_pct": 0.5}, {"rope_interleave": True}, {"rotary": False}], ids=str)
def test_a_key_that_disagrees_is_noted(keys):
    (key,) = keys
    assert any(f"{key} " in note for note in read({**LLAMA, **keys})[0].notes)


def test_what_stands_beside_the_language_model_is_noted():
    # transformers keeps such keys in the outer configuration, where the language model does not look.
    config = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}, "rope_parameters": {"factor": 8.0}}
    assert "rope_parameters ({'factor': 8.0}) stands beside text_config and is not read" in read(config)[0].notes
    with pytest.raises(tightrope.RopeConfigError, match="stands beside text_config"):
        tightrope.read(config, strict=True)


def test_what_stands_beside_the_language_model_and_agrees_needs_no_word():
    config = {"model_type": "llava", "rope_theta": 1e4, "text_config": LLAMA}
    assert read(config)[0].notes == tightrope.read({"model_type": "llava", "text_config": LLAMA}).notes


def test_a_key_of_a_block_that_the_family_does_not_read_is_noted():
    block = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    config = {"model_type": "deepseek_v3", "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, **SHAPE}
    notes = read({**config, "rope_parameters": block})[0].notes
    assert any("rope_parameters.partial_rotary_factor 0.5 has no effect" in note for note in notes)


def test_a_key_within_the_attention_of_a_configuration_is_noted():
    notes = read({**LLAMA, "attn_config": {"rope_theta": 5e5}})[0].notes
    assert any("attn_config.rope_theta" in note for note in notes)


@pytest.mark.parametrize(
    ("place", "holder"),
    [
        ("transformer", lambda keys: {"transformer": keys}),
        ("model.attention", lambda keys: {"model": {"attention": keys}}),
        ("block_configs[1].attention", lambda keys: {"block_configs": [{}, {"attention": keys}]}),
        ("layer_overrides.3", lambda keys: {"layer_overrides": {"3": keys}}),
        ("per_layer_config.3", lambda keys: {"per_layer_config": {"3": keys}}),
    ],
    ids=["inner", "attention", "list", "overrides", "per layer"],
)
@pytest.mark.parametrize("key", ["rope_theta", "rope_tetha", "use_rope"])
def test_a_key_within_an_object_of_a_configuration_is_noted(place, holder, key):
    config = {**LLAMA, **holder({key: False if key == "use_rope" else 5e5})}
    assert any(f"{place}.{key}" in note for note in tightrope.read(config).notes)
    with pytest.raises(tightrope.RopeConfigError, match=key):
        tightrope.read(config, strict=True)


@pytest.mark.parametrize("part", ["vision_config", "audio_config", "talker_config", "quantization_config"])
def test_what_another_part_says_of_its_own_positions_needs_no_word(part):
    assert tightrope.read({**LLAMA, part: {"rope_theta": 100.0}}, strict=True).notes == tightrope.read(LLAMA).notes


NESTED = {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}


@pytest.mark.parametrize(
    ("key", "hint"), [("slidng_attention", "; did you mean 'sliding_attention'"), ("chunked_attention", "")]
)
def test_a_rope_that_belongs_to_no_layer_is_noted(key, hint):
    config = {**SHAPE, "model_type": "gemma3_text", "rope_parameters": {**NESTED, key: {"rope_theta": 5e5}}}
    said = f"rope_parameters.{key} belongs to no layer{hint}"
    assert any(note.startswith(said) for note in tightrope.read(config).notes)
    with pytest.raises(tightrope.RopeConfigError, match=said):
        tightrope.read(config, strict=True)


@pytest.mark.parametrize("key", ["max_wavelength", "n_rot", "sinusoidal_base", "frequency_base"])
def test_other_words_for_a_base_or_a_width_sound_like_position(key):
    assert any(key in note for note in tightrope.read({**LLAMA, key: 64}).notes)


def test_many_unread_keys_are_counted():
    model, _ = read({**LLAMA, **{f"rope_{number}": 1 for number in range(1000)}})
    assert model.notes[-1] == "980 more keys that sound like position are not read"
    assert len(model.notes) == 21


@pytest.mark.parametrize("model_type", ["bert", "jamba", "gpt2"])
def test_where_nothing_rotates_a_rope_key_is_noted(model_type):
    model, warned = read({"model_type": model_type, **SHAPE, "rope_theta": 1e4})
    assert not model.ropes
    assert any("rope_theta" in note for note in model.notes)
    assert warned == []


def keys_of(config):
    """Yield the path of each key of a configuration, of its ropes and of its language model."""
    for key, value in config.items():
        yield (key,)
        if key in ("text_config", "rope_scaling", "rope_parameters", "full_attention", "sliding_attention"):
            yield from ((key, *path) for path in keys_of(value or {}))


def changed(config, path, value):
    """Return a configuration with another value at this path."""
    inner = value if len(path) == 1 else changed(config[path[0]], path[1:], value)
    return {**config, path[0]: inner}


def test_every_key_of_a_real_configuration_that_sounds_like_position_is_read_or_noted(shared_config):
    """A value that no key can have is refused or noted."""
    config = json.loads(shared_config.read_text())
    for path in keys_of(config):
        if sounds_like_position(path[-1]):
            said = said_of(changed(config, path, "absurd"))
            assert any(path[-1] in text or "absurd" in text for text in said), path


def said_of(config):
    """Return the problems of reading a configuration, or the notes where it can be read."""
    try:
        return read(config)[0].notes
    except tightrope.RopeConfigError as error:
        return error.problems


@pytest.mark.parametrize("key", ["rope_tetha", "swa_rope_theta", "rotary_scale", "qk_rope_head_dim_scale"])
def test_a_key_that_a_real_configuration_does_not_have_is_noted(shared_config, key):
    model, _ = read({**json.loads(shared_config.read_text()), key: 12.5})
    assert any(key in note for note in model.notes)
