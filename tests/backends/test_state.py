"""What a module holds: its configuration, and nothing that a cast, a copy, a checkpoint or another call could spoil."""

import copy
import dataclasses
import json
import pickle

import numpy as np
import pytest

import tightrope
from draws import DYNAMIC, LONGROPE, rope
from tightrope import ModelRope, MRope, RopeConfig, RopeConfigError

MODEL = ModelRope(
    ropes={"full": rope(), "sliding": rope(base=100.0), "long": rope().replace(scaling=LONGROPE)},
    layers=("full", "sliding", None, "long"),
)


def rotated(backend, module, dtype="float32", **arguments):
    q = np.random.default_rng(0).standard_normal((2, 1, 3, 8))
    device = backend.devices()[0]
    given = {n: backend.asarray(v, "int64", device) if isinstance(v, np.ndarray) else v for n, v in arguments.items()}
    return backend.to_numpy(module(backend.asarray(q, dtype, device), **{"offset": 1000, **given}))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("key", ["full", "sliding", "long"])
def test_copies_turn_alike(backend, key, copied):
    module = backend.RotaryEmbedding(MODEL)
    expected = rotated(backend, module, layer_type=key)
    assert np.array_equal(rotated(backend, copied(module), layer_type=key), expected)


def test_a_copy_goes_on_where_the_original_stood(backend):
    module = backend.RotaryEmbedding(rope(max_position_embeddings=8).replace(scaling=DYNAMIC), policy="transformers")
    rotated(backend, module, offset=100)
    grown = rotated(backend, module, offset=20)
    assert np.array_equal(rotated(backend, copy.deepcopy(module), offset=20), grown)
    assert not np.array_equal(rotated(backend, backend.RotaryEmbedding(module.model), offset=20), grown)


@pytest.mark.parametrize("narrow", ["bfloat16", "float16"])
def test_a_narrow_call_leaves_the_next_one_whole(backend, narrow):
    fresh = rotated(backend, backend.RotaryEmbedding(rope()))
    module = backend.RotaryEmbedding(rope())
    rotated(backend, module, narrow)
    assert np.array_equal(rotated(backend, module), fresh)


def test_a_long_call_leaves_the_next_one_as_it_was(backend):
    module = backend.RotaryEmbedding(rope(max_position_embeddings=8).replace(scaling=DYNAMIC))
    before = rotated(backend, module, offset=2)
    rotated(backend, module, offset=10**6)
    assert np.array_equal(rotated(backend, module, offset=2), before)


def test_layers_share_tables_and_have_their_rope(backend):
    module = backend.RotaryEmbedding(MODEL)
    for index, key in enumerate(MODEL.layers):
        layer = module.for_layer(index)
        if key is None:
            assert layer is None
        else:
            assert np.array_equal(rotated(backend, layer), rotated(backend, module, layer_type=key))


def test_a_layer_takes_the_angles_of_the_whole_model(backend):
    module = backend.RotaryEmbedding(MODEL)
    angles = module.angles(offset=1000, length=3)
    assert list(angles) == ["full", "sliding", "long"]
    for index in (0, 1, 3):
        layer = module.for_layer(index)
        assert np.array_equal(rotated(backend, layer, offset=None, angles=angles), rotated(backend, layer))


# Every field of a rope, with a value that must make a difference. max_position_embeddings and frequency_dim do where
# the scaling reads them; head_dim says what the width means, and the width that arrives decides; fractional says what
# positions may be, and those that arrive decide.
CHANGES = [
    (rope(), {"rotary_dim": 4}),
    (rope(), {"base": 20000.0}),
    (rope(), {"layout": "interleaved"}),
    (rope(rotary_dim=4), {"side": "tail"}),
    (rope(), {"direction": -1}),
    (rope(), {"frequency_dim": 16}),
    (rope(), {"scaling": {"rope_type": "linear", "factor": 3.0}}),
    (rope().replace(scaling=DYNAMIC), {"max_position_embeddings": 64}),
    (rope(mrope=MRope(sections=(2, 1, 1))), {"mrope": MRope(sections=(1, 1, 2))}),
    (rope(mrope=MRope(sections=(2, 1, 1))), {"mrope": MRope(sections=(2, 1, 1), order="interleaved")}),
]
UNREAD = {"head_dim", "fractional"}


@pytest.mark.parametrize(("config", "change"), CHANGES, ids=[next(iter(change)) for _, change in CHANGES])
def test_changing_one_field_changes_the_result(backend, config, change):
    positions = {"offset": None, "positions": np.arange(18).reshape(3, 2, 3) + 5000} if config.mrope else {}
    before = rotated(backend, backend.RotaryEmbedding(config), **positions)
    after = rotated(backend, backend.RotaryEmbedding(config.replace(**change)), **positions)
    assert not np.array_equal(before, after)


def test_every_field_of_a_rope_was_changed():
    assert {field.name for field in dataclasses.fields(RopeConfig)} == UNREAD | {next(iter(c)) for _, c in CHANGES}


PARAMETERS = [
    ({"rope_type": "linear", "factor": 2.0}, {"factor": 3.0}),
    ({"rope_type": "ntk", "factor": 2.0}, {"factor": 3.0}),
    (DYNAMIC, {"factor": 3.0}),
    (DYNAMIC, {"original_max_position_embeddings": 32}),
    (LONGROPE, {"long_factor": [2.0, 3.0, 5.0, 9.0]}),
    (LONGROPE, {"original_max_position_embeddings": 2000}),
    (LONGROPE, {"factor": 8.0}),
    (LONGROPE, {"attention_factor": 1.5}),
    ({**LONGROPE, "original_max_position_embeddings": 2000}, {"short_factor": [1.0, 1.0, 1.0, 2.0]}),
    ({**LONGROPE, "short_mscale": 1.1, "long_mscale": 1.2}, {"long_mscale": 1.3}),
]


@pytest.mark.parametrize(
    ("block", "change"), PARAMETERS, ids=lambda value: "-".join(value) if len(value) == 1 else None
)
def test_changing_one_parameter_of_the_scaling_changes_the_result(backend, block, change):
    short = rope(max_position_embeddings=64)
    ropes = [short.replace(scaling=scaling) for scaling in (block, {**block, **change})]
    assert not np.array_equal(*[rotated(backend, backend.RotaryEmbedding(config)) for config in ropes])


def test_modules_of_equal_configurations_are_independent(backend):
    """A schedule with history belongs to one module, though the tables of both follow from one configuration."""
    config = rope(max_position_embeddings=8).replace(scaling=DYNAMIC)
    one, other = (backend.RotaryEmbedding(config, policy="transformers") for _ in range(2))
    fresh = rotated(backend, other, offset=9)
    rotated(backend, one, offset=1000)
    assert np.array_equal(rotated(backend, other, offset=9), fresh)


def test_repr_says_what_rotates(backend):
    assert "default: linear, base 10,000, 8 of 8 channels, half" in repr(
        backend.RotaryEmbedding(rope().replace(scaling={"rope_type": "linear", "factor": 2.0}))
    )


KEYS = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "rope_theta": 5e5}


class TestWhatItIsBuiltFrom:
    """`RotaryEmbedding` takes what `read` takes, and answers to other libraries' words with the right call."""

    @pytest.fixture(params=["dict", "folder", "model", "rope"])
    def source(self, request, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps(KEYS))
        model = tightrope.read(KEYS)
        return {"dict": KEYS, "folder": tmp_path, "model": model, "rope": model.rope()}[request.param]

    def test_any_source_that_read_takes(self, backend, source):
        assert backend.RotaryEmbedding(source).model.rope() == tightrope.read(KEYS).rope()

    @pytest.mark.parametrize(
        ("arguments", "keywords", "call"),
        [
            ((), {"dim": 64}, "head_dim=64, base=10000.0"),
            ((64,), {}, "head_dim=64, base=10000.0"),
            ((), {"dim": 32, "theta": 5e5}, "head_dim=32, base=500000.0"),
            ((), {}, "head_dim=128, base=10000.0"),
        ],
    )
    def test_a_call_in_other_words_is_answered_with_the_right_one(self, backend, arguments, keywords, call):
        with pytest.raises(RopeConfigError) as raised:
            backend.RotaryEmbedding(*arguments, **keywords)
        assert str(raised.value).endswith(f"RotaryEmbedding(tightrope.RopeConfig({call}))")
