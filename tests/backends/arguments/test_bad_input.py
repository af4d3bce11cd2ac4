"""Whatever a public function is given from Python, a value of a wrong type is refused by its name, in one line."""

import numpy as np
import pytest

import tightrope
from tightrope import ModelRope, MRope, RopeConfig, RopeConfigError
from tightrope.rope import positions
from tightrope.rope.config.query_scale import QueryScale
from tightrope.rope.scaling.yarn import Yarn
from tightrope.rope.schedule import FrequencySchedule

WRONG = {
    "number": 3,
    "fraction": 1.5,
    "infinity": float("inf"),
    "nothing": None,
    "text": "x",
    "bytes": b"x",
    "object": object(),
    "list": [],
    "mapping": {},
    "numbered mapping": {"full": 3},
    "nested list": [[]],
    "ragged list": [[1], [1, 2]],
    "array": np.zeros(2),
}
NUMBER, TEXT = {"number", "fraction"}, {"text"}
MAPPINGS = {"mapping"}

ROPE = RopeConfig(head_dim=128, rotary_dim=64, base=1e4, layout="half")
DYNAMIC = ROPE.replace(scaling={"rope_type": "dynamic", "factor": 2.0}, max_position_embeddings=64)
MODEL = ModelRope(ropes={"default": ROPE}, layers=("default",))
LLAMA = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4}

# What each takes where nothing is wrong, and of the values above those that are not wrong there.
ARGUMENTS = [
    (ROPE.replace, {}, {
        "head_dim": set(), "rotary_dim": set(), "base": NUMBER, "layout": set(), "side": set(), "direction": set(),
        "scaling": MAPPINGS, "max_position_embeddings": {"number", "nothing"}, "frequency_dim": {"number", "nothing"},
        "mrope": {"nothing"}, "fractional": set(),
    }),
    (ModelRope, {"ropes": {"default": ROPE}, "layers": ("default",)}, {
        "ropes": set(), "layers": {"list"}, "model_type": TEXT, "notes": {"list"}, "softmax_scale": NUMBER,
        "query_scales": MAPPINGS,
    }),
    (MRope, {"sections": (16, 16)}, {"sections": set(), "order": set(), "progression": set()}),
    (QueryScale, {"beta": 0.1, "length": 8}, {
        "beta": NUMBER, "length": {"number"}, "shift": {"number"}, "form": set(),
    }),
    (tightrope.Frequencies, {"inv_freq": np.ones(3), "attention_factor": 1.0}, {
        "inv_freq": {"array"}, "attention_factor": NUMBER,
    }),
    (FrequencySchedule, {"config": ROPE}, {"config": set(), "policy": set(), "switch": set()}),
    (tightrope.frequencies, {"config": DYNAMIC, "seq_len": 8}, {
        "config": set(), "seq_len": {"number"}, "precision": set(),
    }),
    (tightrope.read, {"source": LLAMA}, {
        "source": {*TEXT, *MAPPINGS, "numbered mapping"}, "strict": set(), "tower": {"nothing"},
    }),
    (MODEL.for_layer, {}, {"index": set()}),
    (MODEL.rope, {}, {"layer_type": {"nothing"}}),
    (MODEL.key, {}, {"layer_type": {"nothing"}}),
    (MODEL.replace, {}, {"layer_type": {"nothing"}}),
    (MODEL.to_hf, {}, {"spelling": set()}),
    (MODEL.query_scale, {"positions": [1]}, {
        "positions": {*NUMBER, "infinity", "list", "nested list", "array"}, "layer_type": {"nothing"},
    }),
    (tightrope.load_backend, {}, {"name": set()}),
    (tightrope.patch, {}, {"model": set()}),
    (tightrope.unpatch, {}, {"model": set()}),
    (tightrope.rope_type, {}, {"name": TEXT}),
    (tightrope.rope_type("of_a_test"), {}, {"cls": set()}),
    (Yarn, {"factor": 2.0}, {
        "factor": {*NUMBER, "nothing"}, "original_max_position_embeddings": {"number", "nothing"}, "truncate": set(),
    }),
    (Yarn.from_block, {}, {"block": {*MAPPINGS, "numbered mapping"}}),
    (positions.padded, {"lengths": [3, 4]}, {"lengths": {"list"}, "side": set(), "width": {"nothing"}}),
    (positions.packed, {}, {"cu_seqlens": set()}),
    (positions.chunks, {"length": 9, "size": 4}, {"length": {"number"}, "size": {"number"}, "start": {"number"}}),
    (positions.window, {"length": 9, "size": 4}, {"length": {"number"}, "size": {"number"}, "ring": set()}),
    (positions.shards, {"length": 6, "count": 2}, {"length": set(), "count": {"number"}, "scheme": set()}),
    (positions.grid_positions, {"grids": [[2, 2]]}, {
        "grids": {"list", "nested list"}, "merge_size": set(), "time": set(), "first": set(), "start": {"number"},
        "before": {"number"}, "after": {"number"},
    }),
    (positions.centre_positions, {"height": 2, "width": 2}, {
        "height": {"number"}, "width": {"number"}, "before": {"number"}, "after": {"number"},
    }),
    (positions.multimodal_positions, {"kinds": [0, 2], "convention": "qwen2_5_vl", "video_grids": [[1, 2, 2]],
                                      "tokens_per_second": 2.0}, {
        "kinds": {"list", "nested list"}, "convention": set(), "image_grids": {"list", "nested list"},
        "video_grids": set(), "mask": {"nothing", "array"}, "merge_size": set(), "temporal_merge_size": {"nothing"},
        "tokens_per_second": NUMBER, "seconds_per_grid": {"nothing"},
    }),
]  # fmt: skip

# What a message calls an argument that has another name in a configuration.
CALLED = {
    "sections": "mrope_section",
    "scaling": "scaling|rope_type",
    "cls": "rope_type",
    "name": "backend|rope_type",
    "ropes": "rope",
    "layers": "layer",
    "notes": "note",
}
CASES = {
    f"{getattr(call, '__qualname__', call)} {name} {wrong}": (call, given, name, WRONG[wrong])
    for call, given, fields in ARGUMENTS
    for name, fits in fields.items()
    for wrong in WRONG.keys() - fits
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_value_of_a_wrong_type_is_refused_by_name(case):
    call, given, name, wrong = CASES[case]
    with pytest.raises(RopeConfigError, match=CALLED.get(name, name)) as caught:
        call(**{**given, name: wrong})
    assert "\n" not in caught.value.problems[0]


class TestTablesThatHoldEachAngleTwice:
    """transformers' cos and sin are as wide as the channels they rotate; ours have one entry per pair."""

    HINT = "transformers repeats each angle"

    @pytest.fixture
    def doubled(self, backend):
        angles = np.arange(1.0, 6.0)[:, None] * 0.5 ** np.arange(4)
        tables = (np.tile(part(angles), 2)[None].astype(np.float32) for part in (np.cos, np.sin))
        return [backend.asarray(table, "float32", "cpu") for table in tables]

    def x(self, backend, width):
        return backend.asarray(np.ones((1, 2, 5, width), np.float32), "float32", "cpu")

    def test_they_are_refused_on_a_whole_head(self, backend, doubled):
        with pytest.raises(RopeConfigError, match=f"got .*; {self.HINT}"):
            backend.rotate(self.x(backend, 8), cos=doubled[0], sin=doubled[1], layout="half")

    def test_they_are_refused_as_the_angles_of_a_partial_rope(self, backend, doubled):
        rope = RopeConfig(head_dim=16, rotary_dim=8, base=10_000.0, layout="half")
        with pytest.raises(RopeConfigError, match=f"one entry per rotated pair .* got 8; {self.HINT}"):
            backend.RotaryEmbedding(rope)(self.x(backend, 16), angles=tuple(doubled))

    @pytest.mark.parametrize("backend", ["torch"], indirect=True)
    @pytest.mark.backend("torch")
    def test_they_are_refused_where_the_width_alone_does_not_tell(self, backend, doubled):
        with pytest.raises(RopeConfigError, match=f"got every one of 4 twice; {self.HINT}"):
            backend.rotate(self.x(backend, 16), cos=doubled[0], sin=doubled[1], layout="half")

    def test_tables_of_position_0_hold_the_same_angle_everywhere_and_are_taken(self, backend):
        ones, zeros = (backend.asarray(np.full((1, 5, 8), n, np.float32), "float32", "cpu") for n in (1, 0))
        rotated = backend.rotate(self.x(backend, 16), cos=ones, sin=zeros, layout="half")
        np.testing.assert_array_equal(backend.to_numpy(rotated), 1)
