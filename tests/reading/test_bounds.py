"""Whatever a file holds is read within stated bounds, and what is said of it stays short."""

import numpy as np
import pytest

import tightrope
from tightrope.rope.reading.plain import DEEPEST, LONGEST_NAME
from tightrope.rope.reading.section import MOST_ENTRIES, MOST_LAYERS

LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 8,
    "max_position_embeddings": 8192,
    "rope_theta": 1e4,
}


def nested(levels):
    config = LLAMA
    for _ in range(levels - 1):
        config = {"model_type": "llava", "text_config": config}
    return config


def types(number):
    return [f"type_{index}" for index in range(number)]


def without_count(**keys):
    return {key: value for key, value in LLAMA.items() if key != "num_hidden_layers"} | keys


REFUSED = {
    "levels": (nested(DEEPEST + 1), "nested more than 100 levels"),
    "thousands of levels": (nested(5000), "nested more than 100 levels"),
    "a long key": ({**LLAMA, "x" * (LONGEST_NAME + 1): 1}, "has more than 1000 characters"),
    "a long model_type": (
        {**LLAMA, "model_type": "x" * 10**6},
        "model_type must be a string of at most",
    ),
    "a long rope type": (
        {**LLAMA, "rope_scaling": {"rope_type": "x" * 10**6}},
        "rope_type must be a string of at most",
    ),
    "ropes": ({**LLAMA, "rope_parameters": {name: {"rope_theta": 1e4} for name in types(101)}}, "at most 100 ropes"),
    "layers": ({**LLAMA, "num_hidden_layers": MOST_LAYERS + 1}, f"num_hidden_layers must be <= {MOST_LAYERS}"),
    "types without a number of layers": (without_count(layer_types=types(MOST_LAYERS + 1)), "at most 10000 entries"),
    "entries": (
        {**LLAMA, "model_type": "smollm3", "no_rope_layers": [1] * (MOST_ENTRIES + 1)},
        "a list of at most 100000 whole numbers",
    ),
    "digits of a base": ({**LLAMA, "rope_theta": 10**5000}, "rope_theta must be <= "),
    "digits of a factor": ({**LLAMA, "rope_scaling": {"rope_type": "linear", "factor": 10**5000}}, "factor must be a"),
    "digits in a list": (
        {**LLAMA, "model_type": "granite_swa", "layer_rope_theta": [10**5000] * 8},
        "layer_rope_theta must be a list of numbers, got",
    ),
    "digits of a section": (
        {**LLAMA, "rope_scaling": {"type": "mrope", "mrope_section": [10**5000, 1]}},
        "mrope_section must be a list of whole numbers",
    ),
    "an original length of 2**62": (
        {**LLAMA, "rope_scaling": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 2**62}},
        "original_max_position_embeddings must be <= 1099511627776",
    ),
    "a length of 2**62": ({**LLAMA, "max_position_embeddings": 2**62}, "max_position_embeddings must be <= "),
    "an array for a width": ({**LLAMA, "head_dim": np.arange(3)}, r"head_dim must be a whole number, got \[0, 1, 2\]"),
    "a tensor for a base": ({**LLAMA, "rope_theta": object()}, "rope_theta must be a finite number, got <object"),
    "an array for a switch": ({**LLAMA, "model_type": "falcon", "alibi": np.zeros(2)}, "alibi must be true or false"),
    "a key that is no string": ({**LLAMA, 5: 1}, "keys must be strings, got 5"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_beyond_a_bound_is_refused_in_a_line(name):
    config, words = REFUSED[name]
    with pytest.raises(tightrope.RopeConfigError, match=words) as refused:
        tightrope.read(config)
    assert all(len(problem) < 300 for problem in refused.value.problems)
    assert all("\n" not in problem for problem in refused.value.problems)


@pytest.mark.parametrize(
    "config",
    [
        nested(DEEPEST),
        {**LLAMA, "per_layer_config": {"9" * 900: {}}},
        {**LLAMA, "head_dim": np.int64(128), "rope_theta": np.float32(1e4)},
        {**LLAMA, "torch_dtype": object(), "id2label": {0: "no", 1: "yes"}},
        {**LLAMA, "layer_types": np.array(["full_attention"] * 8)},
    ],
    ids=["levels", "a key of digits", "numpy scalars", "what no reader asks for", "a numpy list"],
)
def test_what_is_within_the_bounds_is_read(config):
    assert tightrope.read(config).layers == ("default",) * 8


def test_many_unknown_keys_of_a_block_are_counted():
    block = {"rope_type": "linear", "factor": 2.0, **{f"strange_{index}": 1 for index in range(5000)}}
    with pytest.raises(tightrope.RopeConfigError) as refused:
        tightrope.read({**LLAMA, "rope_scaling": block}, strict=True)
    assert refused.value.problems[-1] == "4980 more unknown keys in rope_scaling"
    assert len(refused.value.problems) == 21


@pytest.mark.parametrize("name", ["\ud800", "\x1b]0;title\x07", "a\nb", "\x9b2J"], ids=ascii)
@pytest.mark.parametrize("place", ["key", "rope", "layer type", "value"])
def test_what_a_terminal_would_act_on_is_escaped(name, place):
    config = {
        "key": {**LLAMA, f"rope_{name}": 1},
        "rope": {**LLAMA, "rope_parameters": {name: {"rope_theta": -1}}},
        "layer type": {**LLAMA, "layer_types": [name] * 8, "rope_parameters": {"a": {"rope_theta": 1e4}}},
        "value": {**LLAMA, "rope_theta": name},
    }[place]
    with pytest.raises(tightrope.RopeConfigError) as refused:
        tightrope.read(config, strict=True)
    assert all(problem.isprintable() for problem in refused.value.problems)
