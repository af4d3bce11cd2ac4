"""A configuration is frozen, hashable, whole, and never wrong."""

import copy
import pickle
import re
from dataclasses import FrozenInstanceError

import pytest

import tightrope
from tightrope import ModelRope, MRope, RopeConfig, RopeConfigError
from tightrope.rope.scaling.linear import Linear
from tightrope.rope.support.called import told_in_words

FIELDS = {"head_dim": 128, "rotary_dim": 64, "base": 10_000.0, "layout": "half"}


def test_equal_fields_make_equal_hashable_configurations():
    assert RopeConfig(**FIELDS) == RopeConfig(**FIELDS)
    assert len({RopeConfig(**FIELDS), RopeConfig(**FIELDS), RopeConfig(**{**FIELDS, "base": 5e5})}) == 2


def test_a_configuration_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        RopeConfig(**FIELDS).base = 1.0


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_copies_are_equal(twin):
    config = RopeConfig(**FIELDS, mrope=MRope(sections=(16, 16)), scaling=Linear(factor=2.0))
    model = ModelRope(ropes={"default": config}, layers=("default", None))
    assert twin(model) == model
    assert hash(twin(model)) == hash(model)


BAD = [
    ({"head_dim": 0}, "head_dim must be a whole number > 0, got 0"),
    ({"head_dim": 12.5}, "head_dim must be a whole number > 0, got 12.5"),
    ({"head_dim": 2**40}, "head_dim must be <= 1,048,576, got 1,099,511,627,776"),
    ({"head_dim": True}, "head_dim must be a whole number > 0, got True"),
    ({"rotary_dim": 63}, "rotary_dim must be even, got 63"),
    ({"rotary_dim": 130}, "rotary_dim must be <= head_dim (128), got 130"),
    ({"base": 0.0}, "base must be a finite number > 0, got 0.0"),
    ({"base": float("nan")}, "base must be a finite number > 0, got nan"),
    ({"base": float("inf")}, "base must be a finite number > 0, got inf"),
    ({"base": "10000"}, "base must be a finite number > 0, got '10000'"),
    ({"base": True}, "base must be a finite number > 0, got True"),
    ({"layout": "neox"}, "layout must be one of 'half', 'interleaved', 'halves', got 'neox'"),
    ({"side": "left"}, "side must be one of 'head', 'tail', got 'left'"),
    ({"direction": 0}, "direction must be one of 1, -1, got 0"),
    ({"max_position_embeddings": -1}, "max_position_embeddings must be a whole number > 0, got -1"),
    ({"scaling": None}, "scaling must be a rope type such as"),
    ({"mrope": MRope(sections=(16, 8))}, "mrope_section must add up to the 32 rotated pairs, got [16, 8]"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_what_cannot_be_right_is_refused(change, message):
    with pytest.raises(RopeConfigError) as caught:
        RopeConfig(**{**FIELDS, **change})
    assert message in caught.value.problems[0]


def test_all_problems_at_once():
    with pytest.raises(RopeConfigError) as caught:
        RopeConfig(**{**FIELDS, "base": -1.0, "layout": "x", "rotary_dim": 3})
    assert len(caught.value.problems) == 3


def test_an_error_survives_pickling():
    error = RopeConfigError(["a", "b"], source="config.json")
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "config.json: 2 problems\n  - a\n  - b"


@pytest.mark.parametrize("sections", [(), (-1, 33), (16.0, 16), (True, 31)])
def test_sections_that_cannot_be_right_are_refused(sections):
    with pytest.raises(RopeConfigError, match="mrope_section"):
        MRope(sections=sections)


def test_an_unknown_order_of_axes_is_refused():
    with pytest.raises(RopeConfigError, match="mrope order must be one of 'chunked', 'interleaved'"):
        MRope(sections=(1, 1), order="shuffled")


def test_chunked_pairs_follow_their_section():
    assert MRope(sections=(1, 2, 3)).pair_axes(6) == (0, 1, 1, 2, 2, 2)


def test_interleaved_pairs_take_turns_while_their_axis_has_some_left():
    """Qwen3-VL: [24, 20, 20] over 64 pairs: t h w t h w … up to pair 59, then time alone."""
    axes = MRope(sections=(24, 20, 20), order="interleaved").pair_axes(64)
    assert axes[:60] == (0, 1, 2) * 20
    assert axes[60:] == (0, 0, 0, 0)


def test_replace_checks_anew_and_leaves_the_original():
    config = RopeConfig(**FIELDS)
    longer = config.replace(scaling={"rope_type": "linear", "factor": 2}, max_position_embeddings=8192)
    assert longer.scaling == Linear(factor=2)
    assert config.scaling.rope_type == "default"
    with pytest.raises(RopeConfigError, match="base must be"):
        config.replace(base=-1)


@pytest.fixture
def two_ropes():
    local, wide = RopeConfig(**FIELDS), RopeConfig(**{**FIELDS, "base": 1e6})
    return ModelRope(ropes={"sliding_attention": local, "full_attention": wide}, layers=("sliding_attention", None))


def test_each_layer_has_its_rope(two_ropes):
    assert two_ropes.for_layer(0) == two_ropes.ropes["sliding_attention"]
    assert two_ropes.for_layer(1) is None


def test_the_only_rope_needs_no_name():
    model = ModelRope(ropes={"default": RopeConfig(**FIELDS)}, layers=("default",))
    assert model.rope() is model.ropes["default"]


@pytest.mark.parametrize(
    ("key", "message"),
    [(None, "layer_type is required"), ("full", "layer_type must be one of")],
)
def test_one_of_several_ropes_must_be_named(two_ropes, key, message):
    with pytest.raises(RopeConfigError, match=message):
        two_ropes.rope(key)


def test_replace_changes_the_named_rope_alone(two_ropes):
    changed = two_ropes.replace("full_attention", base=2e6)
    assert changed.ropes["full_attention"].base == 2e6
    assert changed.ropes["sliding_attention"] == two_ropes.ropes["sliding_attention"]


def test_a_layer_with_an_unknown_rope_is_refused():
    with pytest.raises(RopeConfigError, match="layer 1 has rope 'x'"):
        ModelRope(ropes={"default": RopeConfig(**FIELDS)}, layers=("default", "x"))


def test_a_rope_that_is_none_is_refused():
    with pytest.raises(RopeConfigError, match="rope 'default' must be a RopeConfig, got dict"):
        ModelRope(ropes={"default": FIELDS}, layers=("default",))


@pytest.mark.parametrize("index", [2, -1, "first"])
def test_a_layer_that_is_not_there_is_refused(two_ropes, index):
    with pytest.raises(RopeConfigError, match=f"index must be one of the 2 layers, counted from 0, got {index!r}"):
        two_ropes.for_layer(index)


def test_a_plain_rope_needs_a_width_and_a_base():
    rope = RopeConfig(head_dim=64, base=1e4)
    assert (rope.rotary_dim, rope.layout, rope.scaling.rope_type, rope.side) == (64, "half", "default", "head")


def test_a_width_of_none_is_the_heads_own():
    with pytest.raises(RopeConfigError, match="head_dim must be a whole number > 0, got None"):
        RopeConfig(head_dim=None, base=1e4)


@pytest.mark.parametrize(
    ("name", "field"), [("rope_theta", "base"), ("rope_scaling", "scaling"), ("dim", "rotary_dim"), ("theta", "base")]
)
def test_replace_names_the_field_that_is_meant(name, field):
    with pytest.raises(RopeConfigError, match=f"unknown field '{name}'; it is called '{field}' here"):
        RopeConfig(head_dim=64, base=1e4).replace(**{name: 1})


@pytest.mark.parametrize("name", ["factor", "attention_factor", "original_max_position_embeddings", "short_factor"])
def test_replace_says_where_a_parameter_of_the_rope_type_belongs(name):
    block = re.escape("; it belongs to the rope block: replace(scaling={'rope_type': '") + rf"\w+', '{name}': …}}\)"
    with pytest.raises(RopeConfigError, match=block):
        RopeConfig(head_dim=64, base=1e4).replace(**{name: 4.0})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"theta": 1e4}, "RopeConfig has no argument 'theta'; it is called 'base' here"),
        ({"rope_theta": 1e4}, "RopeConfig has no argument 'rope_theta'; it is called 'base' here"),
        ({"dim": 64, "base": 1e4}, "RopeConfig has no argument 'dim'; it is called 'rotary_dim' here"),
        ({"base": 1e4, "freqs": [1.0]}, "no argument 'freqs'; the frequencies follow from base, rotary_dim and scal"),
        ({"base": 1e4, "rotery_dim": 32}, "RopeConfig has no argument 'rotery_dim'; did you mean 'rotary_dim'?"),
        (
            {"base": 1e4, "factor": 4.0},
            "it belongs to the rope block: replace(scaling={'rope_type': 'yarn', ",
        ),
        ({}, "RopeConfig: missing a required argument: 'base'; call RopeConfig(head_dim=…, base=…)"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, dict) else "",
)
def test_a_field_that_there_is_not_is_told_in_words(given, message):
    with pytest.raises(RopeConfigError, match=re.escape(message)):
        RopeConfig(head_dim=64, **given)


def test_fields_by_place_are_told_in_words():
    with pytest.raises(RopeConfigError, match=re.escape("too many positional arguments; call RopeConfig(head_dim=…, ")):
        RopeConfig(64, 1e4)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: MRope(section=(16, 16)), "MRope has no argument 'section'; did you mean 'sections'?"),
        (lambda: Linear(facter=2.0), "Linear has no argument 'facter'; did you mean 'factor'?"),
        (lambda: ModelRope(rope={}, layers=()), "ModelRope has no argument 'rope'; did you mean 'ropes'?"),
        (lambda: tightrope.read({}, strick=True), "read has no argument 'strick'; did you mean 'strict'?"),
        (lambda: tightrope.convert({}, speling="v5"), "convert has no argument 'speling'; did you mean 'spelling'?"),
        (lambda: tightrope.convert({}), "convert: missing a required argument: 'spelling'; call convert(source, spell"),
    ],
    ids=["MRope", "rope type", "ModelRope", "read", "convert", "missing"],
)
def test_so_is_a_misspelt_argument_of_what_is_called_once_a_model(made, message):
    with pytest.raises(RopeConfigError, match=re.escape(message)):
        made()


def test_a_mistake_within_is_not_taken_for_one_of_the_call():
    class Odd(dict):
        def __contains__(self, key):
            raise TypeError("of something within")

    with pytest.raises(TypeError, match="of something within"):
        told_in_words(lambda source: "x" in source)(Odd())


def test_several_fields_that_there_are_not_are_told_at_once():
    with pytest.raises(RopeConfigError) as caught:
        RopeConfig(head_dim=64, theta=1e4, traditional=True)
    assert len(caught.value.problems) == 2


def test_replace_names_the_fields_that_there_are():
    with pytest.raises(RopeConfigError, match="unknown field 'hidden_size'; the fields are head_dim, rotary_dim, base"):
        RopeConfig(head_dim=64, base=1e4).replace(hidden_size=64)
    with pytest.raises(RopeConfigError) as raised:
        RopeConfig(head_dim=64, base=1e4).replace(**{"x" * 9999: 64})
    assert len(str(raised.value)) < 300


def test_replace_shows_the_block_where_a_rope_type_is_only_named():
    with pytest.raises(RopeConfigError, match=re.escape("its block {'rope_type': 'yarn', 'factor': 4.0}, got 'yarn'")):
        RopeConfig(head_dim=64, base=1e4).replace(scaling="yarn")


def test_a_model_without_ropes_says_so():
    model = tightrope.read({"model_type": "bert", "num_hidden_layers": 2})
    with pytest.raises(RopeConfigError, match="this model has no ropes"):
        model.rope()
