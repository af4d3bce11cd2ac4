"""Whatever a configuration holds, reading it gives a model or a RopeConfigError, never anything else."""

import copy
import json
import re
import warnings
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tightrope
from tightrope.rope import reading
from tightrope.rope.errors import shortened
from tightrope.rope.reading.families.elsewhere import ELSEWHERE
from tightrope.rope.reading.families.text import FAMILIES
from tightrope.rope.scaling import rope_types

FULL = {
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 4,
    "max_position_embeddings": 8192,
    "original_max_position_embeddings": 2048,
    "head_dim": 128,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "rope_theta": 1e4,
    "rope_local_base_freq": 1e4,
    "rotary_dim": 64,
    "partial_rotary_factor": 0.5,
    "rope_interleave": True,
    "sliding_window": 512,
    "sliding_window_pattern": 2,
    "no_rope_layers": [1, 0, 1, 0],
    "layer_types": ["full_attention"] * 4,
    "layer_rope_theta": [1e4, 0, 1e5, 0],
    "rope_scaling_layers": [0, 2],
    "hybrid_layer_pattern": [0, 1, 0, 1],
    "compress_ratios": [0, 4, 128, 4],
    "block_types": ["recurrent", "attention"],
    "full_attn_idxs": [1, 3],
    "attn_config": {"rope_theta": 5e5},
    "per_layer_config": {"00": {"head_dim": 64}},
    "text_config": None,
    "rope_scaling": {
        "rope_type": "yarn",
        "type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 2048,
        "attention_factor": 1.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "truncate": True,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "short_factor": [1.0] * 64,
        "long_factor": [2.0] * 64,
        "mrope_section": [16, 24, 24],
        "mrope_interleaved": False,
        "alpha": 1000.0,
        "rope_theta": 1e4,
        "partial_rotary_factor": 0.5,
    },
    "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e6}, "sliding_attention": None},
}
SHAPE = {key: FULL[key] for key in ("hidden_size", "num_attention_heads", "num_hidden_layers", "head_dim")}
READER = Path(reading.__file__).parent.rglob("*.py")
WORDS = sorted({word for file in READER for word in re.findall(r'"([a-z][a-z0-9_]+)"', file.read_text("utf-8"))})
MODEL_TYPES = sorted({*FAMILIES, *ELSEWHERE, "llava", "novel", ""})

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 10**400, 127]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 1e-320, 1e308, 0.5]),
    st.text(max_size=8),
    st.sampled_from(["yarn", "default", *rope_types(), "GGLL", "full_attention"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


def read(values):
    """Return the model, None where it was refused as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tightrope.RopeWarning)
        try:
            model = tightrope.read(values)
        except tightrope.RopeConfigError as error:
            check_problems(error.problems)
            return None
    assert isinstance(model, tightrope.ModelRope)
    hash(model)
    return model


def check_problems(problems):
    assert problems
    assert all(isinstance(problem, str) and problem for problem in problems)


def paths(values, prefix=()):
    for key, value in values.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from paths(value, (*prefix, key))


@st.composite
def changed(draw):
    """A full configuration with some values replaced, removed or wrapped, and perhaps another block."""
    values = copy.deepcopy(FULL) | {"model_type": draw(st.sampled_from(MODEL_TYPES))}
    for path in draw(st.lists(st.sampled_from(sorted(paths(FULL))), max_size=6)):
        *outer, last = path
        place = values
        for key in outer:
            place = place.get(key) if isinstance(place, dict) else None
        if isinstance(place, dict):
            change = draw(st.sampled_from(["replace", "remove", "wrap"]))
            if change == "remove":
                place.pop(last, None)
            else:
                place[last] = draw(VALUES) if change == "replace" else {last: place.get(last)}
    if draw(st.booleans()):
        values.pop("rope_scaling", None)
    return {"model_type": "llava", "text_config": values} if draw(st.booleans()) else values


@given(changed())
def test_a_changed_configuration_is_read_or_refused(values):
    read(values)


@given(st.dictionaries(st.text(max_size=10) | st.sampled_from(sorted(FULL)), VALUES, max_size=8))
def test_any_object_is_read_or_refused(values):
    read(values)


@given(st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value, default=str).encode()))
def test_any_file_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "config.json"
    path.write_bytes(content)
    read(path)


@given(changed(), st.sampled_from(["v4", "v5"]))
def test_what_is_read_is_written_so_that_it_reads_back_or_refused(values, spelling):
    model = read(values)
    if model is None:
        return
    try:
        fragment = model.to_hf(spelling)
    except tightrope.RopeConfigError:
        return
    again = read(fragment)
    assert (again.ropes, again.layers) == (model.ropes, model.layers)


ANYTHING = pytest.mark.parametrize(
    "value", [None, "x", [], {}, -1, 0, float("nan"), True, 10**400, 10**5000, [None], {"a": {"a": {}}}], ids=shortened
)


@pytest.mark.parametrize("key", sorted(FULL.keys() - {"text_config"}))
@ANYTHING
@pytest.mark.parametrize("model_type", ["llama", "gemma3_text", "deepseek_v4", "granite_swa"])
def test_every_key_may_hold_anything(model_type, key, value):
    read({**FULL, "model_type": model_type, key: value})


@pytest.mark.parametrize("key", sorted(FULL["rope_scaling"]))
@ANYTHING
@pytest.mark.parametrize("name", ["linear", "dynamic", "yarn", "longrope", "llama3", "proportional"])
def test_every_key_of_a_block_may_hold_anything(name, key, value):
    block = {**FULL["rope_scaling"], "rope_type": name, "type": name, key: value}
    for written in (block, {"full_attention": block, "sliding_attention": value}):
        read({**SHAPE, "rope_parameters": written})


@ANYTHING
def test_every_word_of_the_reader_may_hold_anything_in_every_family(value):
    """Each string in the reader's source is tried as a key, in the families in turn."""
    for model_type, key in zip(cycle(MODEL_TYPES), WORDS, strict=False):
        read({**SHAPE, "model_type": model_type, key: value})


@given(st.sampled_from(MODEL_TYPES), st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=6))
def test_any_words_of_the_reader_are_read_or_refused(model_type, keys):
    read({**SHAPE, "model_type": model_type, **keys})


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_configuration_may_hold_nothing_but_its_name(model_type):
    read({"model_type": model_type})
