"""The part of `rope_utils` that needs no framework: configuration classes of one's own, and any form of `config`."""

import copy
import dataclasses
import enum
from types import SimpleNamespace
from typing import NamedTuple

import pytest

import tightrope
from tightrope import RopeConfigError
from tightrope.rope.errors import RopeKeyError
from tightrope.rope.rope_utils import (
    RopeParameters,
    RotaryEmbeddingConfigMixin,
    model_of,
    rope_config_validation,
    rope_of,
)

SHAPE = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 1, "max_position_embeddings": 4096}
LINEAR = {"rope_type": "linear", "factor": 4.0}


class Own(RotaryEmbeddingConfigMixin):
    """A configuration class as engines write them."""

    def __init__(self, rope_parameters=None, **keys):
        self.rope_parameters = rope_parameters
        named = {key: keys.pop(key) for key in list(keys) if key in ("rope_theta", "rope_scaling")}
        vars(self).update(SHAPE | keys)
        self.unused = self.convert_rope_params_to_dict(**named, other=1)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, {"rope_type": "default", "rope_theta": 10_000.0}),
        ({"rope_theta": 5e5}, {"rope_type": "default", "rope_theta": 5e5}),
        ({"rope_scaling": {"type": "linear", "factor": 4.0}},
         {"type": "linear", "rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0}),
        ({"rope_parameters": {**LINEAR, "rope_theta": 1e6}, "rope_theta": 5e5}, {**LINEAR, "rope_theta": 1e6}),
        ({"partial_rotary_factor": 0.5},
         {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5}),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}},
         {"rope_type": "yarn", "factor": 2.0, "rope_theta": 10_000.0, "original_max_position_embeddings": 4096}),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}, "original_max_position_embeddings": 1024},
         {"rope_type": "yarn", "factor": 2.0, "rope_theta": 10_000.0, "original_max_position_embeddings": 1024}),
        ({"layer_types": ["full", "sliding"], "rope_theta": 5e5, "rope_parameters": {"full": LINEAR, "sliding": None}},
         {"full": {**LINEAR, "rope_theta": 5e5}, "sliding": None}),
    ],
    ids=["nothing", "base", "older spelling", "a block wins", "partial", "length", "length beside", "nested"],
)  # fmt: skip
class TestConversion:
    def test_both_spellings_become_rope_parameters(self, keys, expected):
        assert Own(**keys).rope_parameters == expected

    def test_transformers_does_the_same(self, keys, expected):
        theirs = pytest.importorskip("transformers.modeling_rope_utils").RotaryEmbeddingConfigMixin

        class Theirs(theirs):
            __init__ = Own.__init__

        assert Theirs(**copy.deepcopy(keys)).rope_parameters == expected  # theirs writes into what it is given

    def test_other_keywords_are_given_back(self, keys, expected):
        assert Own(**keys).unused == {"other": 1}


def test_a_block_that_was_passed_in_is_not_changed():
    block = {"type": "linear", "factor": 4.0}
    Own(rope_scaling=block)
    assert block == {"type": "linear", "factor": 4.0}


@pytest.mark.parametrize(
    ("block", "error", "message"),
    [
        ({"rope_type": "linear"}, KeyError, "rope_parameters.factor is required by rope_type 'linear' and missing"),
        ({"rope_type": "linear", "factor": 0.5}, RopeConfigError, "rope_parameters: factor must be >= 1, got 0.5"),
        ({**LINEAR, "facter": 2.0}, RopeConfigError, "unknown key 'facter' for rope_type 'linear'; did you mean"),
        ({"rope_type": "yran"}, RopeConfigError, "unknown rope_type 'yran'; did you mean 'yarn'"),
    ],
)  # fmt: skip
def test_validation_raises_where_transformers_logs(block, error, message):
    config = Own(rope_parameters=block)
    with pytest.raises(error) as raised:
        config.validate_rope()
    assert message in str(raised.value)


def test_yarn_needs_one_of_two_keys_in_the_block_or_beside_it():
    block = {"rope_type": "yarn"}
    model_of({**SHAPE, "rope_parameters": {**block, "factor": 2.0}})
    model_of({**SHAPE, "rope_parameters": block, "original_max_position_embeddings": 1024})
    with pytest.raises(KeyError, match="rope_parameters must have factor or original_max_position_embeddings"):
        model_of({**SHAPE, "rope_parameters": block})


def test_validation_passes_over_keys_that_are_to_be_ignored():
    config = Own(rope_parameters={**LINEAR, "mine": 1})
    with pytest.raises(RopeConfigError, match="unknown key 'mine'"):
        config.validate_rope()
    config.validate_rope(ignore_keys={"mine"})
    config.ignore_keys_at_rope_validation = {"mine"}
    config.validate_rope()


def test_validation_reads_the_whole_configuration_where_it_says_how_wide_a_head_is():
    config = Own(rope_parameters={"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [1.0] * 7})
    with pytest.raises(RopeConfigError, match="long_factor"):
        config.validate_rope()


def test_rope_config_validation_takes_either_form():
    rope_config_validation(Own(rope_parameters=LINEAR))
    rope_config_validation({**SHAPE, "rope_scaling": {**LINEAR, "mine": 1}}, ignore_keys={"mine"})
    with pytest.raises(KeyError, match="is required"):
        rope_config_validation({**SHAPE, "rope_scaling": {"rope_type": "linear"}})


@dataclasses.dataclass(slots=True)
class Slotted:
    hidden_size: int = 64
    num_attention_heads: int = 4
    rope_theta: float = 5e5
    head_dim: int | None = None


class Attributes:
    """A configuration in attributes of the class, properties, and an object for the block."""

    hidden_size, rope_theta = 64, 5e5
    rope_scaling = SimpleNamespace(rope_type=enum.Enum("Type", {"LINEAR": "linear"}).LINEAR, factor=4.0, low=None)

    @property
    def head_dim(self):
        return 16

    @property
    def not_set_yet(self):
        raise AttributeError


class Tuple(NamedTuple):
    hidden_size: int = 64
    num_attention_heads: int = 4
    rope_theta: float = 5e5


def pydantic_model(block=None, **keys):
    pydantic = pytest.importorskip("pydantic")

    class Block(pydantic.BaseModel):
        rope_type: str = "linear"
        factor: float = 4.0
        rope_theta: float | None = 5e5
        beta_fast: float | None = None

    class Config(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(frozen=True, extra="allow")
        model_type: str = "llama"
        hidden_size: int = 64
        num_attention_heads: int = 4
        head_dim: int | None = None
        rope_parameters: Block | dict = Block()
        _private: int = pydantic.PrivateAttr(3)

    return Config(**keys) if block is None else Config(rope_parameters=block, **keys)


@pytest.mark.filterwarnings("error::DeprecationWarning")
class TestForms:
    @pytest.mark.parametrize(
        "make",
        [Attributes, pydantic_model, lambda: pydantic_model(of_my_own=1),
         lambda: pydantic_model({**LINEAR, "rope_theta": 5e5}),
         lambda: SimpleNamespace(**SHAPE, rope_parameters=SimpleNamespace(**LINEAR, rope_theta=5e5))],
        ids=["class", "pydantic", "pydantic with extras", "pydantic with a dict", "namespaces"],
    )  # fmt: skip
    def test_a_block_may_be_an_object_too(self, make):
        rope = model_of(make()).rope()
        assert (rope.base, rope.head_dim, rope.scaling.rope_type, rope.scaling.factor) == (5e5, 16, "linear", 4.0)

    def test_blocks_by_layer_type_may_be_objects(self):
        block = SimpleNamespace(
            full=SimpleNamespace(rope_theta=5e5), sliding=SimpleNamespace(**LINEAR | {"rope_theta": 1e4})
        )
        shape = SHAPE | {"num_hidden_layers": 2}
        model = model_of(SimpleNamespace(**shape, layer_types=["full", "sliding"], rope_parameters=block))
        assert (model.rope("full").base, model.rope("sliding").scaling.factor) == (5e5, 4.0)

    def test_the_mixin_of_transformers_brings_no_keys_of_its_own(self):
        mixin = pytest.importorskip("transformers.modeling_rope_utils").RotaryEmbeddingConfigMixin

        class Theirs(mixin):
            def __init__(self):
                vars(self).update(SHAPE, model_type="llama", rope_parameters={**LINEAR, "rope_theta": 5e5})

        model = model_of(Theirs())
        assert (model.rope().base, model.notes) == (5e5, ())

    @pytest.mark.parametrize(
        "config",
        [
            {**SHAPE, "rope_theta": 5e5},
            SimpleNamespace(**SHAPE, rope_theta=5e5, head_dim=None),
            Slotted(),
            Tuple(),
            Own(rope_theta=5e5),
            tightrope.read({**SHAPE, "model_type": "llama", "rope_theta": 5e5}),
            tightrope.read({**SHAPE, "model_type": "llama", "rope_theta": 5e5}).rope(),
        ],
        ids=["dict", "namespace", "slots", "tuple", "mixin", "model", "rope"],
    )
    def test_any_object_with_attributes_is_a_configuration(self, config):
        rope = model_of(config).rope()
        assert (rope.base, rope.head_dim) == (5e5, 16)

    def test_a_path_is_read(self, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "llama", "head_dim": 32, "rope_theta": 5e5}')
        assert model_of(tmp_path).rope().head_dim == 32

    def test_a_class_is_no_configuration(self):
        with pytest.raises(RopeConfigError, match="source must be"):
            model_of(Slotted)

    def test_default_asks_for_the_frequencies_before_scaling(self):
        assert rope_of("default", {**SHAPE, "rope_scaling": LINEAR}).scaling.rope_type == "default"


def test_a_missing_key_is_told_in_plain_words_and_survives_pickling():
    import pickle

    error = pickle.loads(pickle.dumps(RopeKeyError("factor is missing")))
    assert isinstance(error, KeyError)
    assert str(error) == "factor is missing"


def test_every_parameter_of_every_type_has_a_key():
    from tightrope.rope.scaling import find_type

    published = ("linear", "dynamic", "yarn", "longrope", "llama3", "proportional")
    fields = {item.name for name in published for item in find_type(name).parameters()}
    assert fields - set(RopeParameters.__annotations__) <= {"short_mscale", "long_mscale"}  # of Phi-3.5-MoE alone
