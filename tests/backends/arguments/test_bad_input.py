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
    ANGLES = np.arange(1.0, 6.0)[:, None] * 0.5 ** np.arange(4)

    def tables(self, backend, angles):
        tables = (part(angles)[None].astype(np.float32) for part in (np.cos, np.sin))
        return dict(zip(("cos", "sin"), (backend.asarray(table, "float32", "cpu") for table in tables), strict=True))

    @pytest.fixture
    def doubled(self, backend):
        return self.tables(backend, np.tile(self.ANGLES, 2))

    def x(self, backend, width, seq=5):
        return backend.asarray(np.ones((1, 2, seq, width), np.float32), "float32", "cpu")

    @pytest.mark.parametrize("width", [8, 16, 24])
    def test_they_are_refused_whatever_the_width_of_q(self, backend, doubled, width):
        with pytest.raises(RopeConfigError, match=f"got every one of 4 twice; {self.HINT}"):
            backend.rotate(self.x(backend, width), **doubled, layout="half")

    def test_a_module_whose_q_is_too_narrow_speaks_of_no_tables(self, backend):
        rope = backend.RotaryEmbedding(tightrope.RopeConfig(head_dim=16, base=1e4))
        with pytest.raises(RopeConfigError, match=r"q must have at least rotary_dim \(16\) channels, got 8$"):
            rope(self.x(backend, 8))

    def test_they_are_refused_for_one_token(self, backend):
        with pytest.raises(RopeConfigError, match=f"got every one of 4 twice; {self.HINT}"):
            backend.rotate(self.x(backend, 16, 1), **self.tables(backend, np.tile(self.ANGLES[:1], 2)), layout="half")

    def test_they_are_refused_as_the_angles_of_a_partial_rope(self, backend, doubled):
        rope = RopeConfig(head_dim=16, rotary_dim=8, base=10_000.0, layout="half")
        with pytest.raises(RopeConfigError, match=f"one entry per rotated pair .* got 8; {self.HINT}"):
            backend.RotaryEmbedding(rope)(self.x(backend, 16), angles=tuple(doubled.values()))

    def test_angles_twice_side_by_side_are_refused_with_another_remedy(self, backend):
        tables = self.tables(backend, np.repeat(self.ANGLES, 2, -1))
        with pytest.raises(RopeConfigError, match=r"side by side, got every one of 4 so; .* with cos\[..., ::2\]"):
            backend.rotate(self.x(backend, 16), **tables, layout="interleaved")

    def test_tables_of_position_0_hold_the_same_angle_everywhere_and_are_taken(self, backend):
        ones, zeros = (backend.asarray(np.full((1, 5, 8), n, np.float32), "float32", "cpu") for n in (1, 0))
        rotated = backend.rotate(self.x(backend, 16), cos=ones, sin=zeros, layout="half")
        np.testing.assert_array_equal(backend.to_numpy(rotated), 1)

    def test_tables_that_are_padded_with_position_0_are_refused(self, backend):
        with pytest.raises(RopeConfigError, match=self.HINT):
            backend.rotate(self.x(backend, 16, 2), layout="half", **self.tables(
                backend, np.tile([[1.0, 0.5, 0.2, 0.1], [0.0] * 4], 2)))  # fmt: skip

    def test_a_picture_whose_last_patch_has_two_equal_axes_is_rotated(self, backend):
        row, column = np.divmod(np.arange(4), 2)
        angles = np.concatenate([axis[:, None] * [1.0, 0.1] for axis in (row, column)], -1)
        backend.rotate(self.x(backend, 8, 4), **self.tables(backend, angles), layout="half")

    def test_two_axes_that_are_alike_are_taken_where_rotary_dim_says_so(self, backend, doubled):
        x = self.x(backend, 16)
        with pytest.raises(RopeConfigError, match="two axes that are alike, give rotary_dim=16"):
            backend.rotate(x, **doubled, layout="half")
        rotated = backend.to_numpy(backend.rotate(x, **doubled, layout="half", rotary_dim=16))
        angles = np.tile(self.ANGLES, 2)
        np.testing.assert_allclose(rotated[0, 0, :, :8], np.cos(angles) - np.sin(angles), rtol=0, atol=4 * 2.0**-24)

    def test_rotary_dim_refuses_them_by_their_width(self, backend, doubled):
        with pytest.raises(RopeConfigError, match=rf"one entry per rotated pair \(4\), got 8; {self.HINT}"):
            backend.rotate(self.x(backend, 16), **doubled, layout="half", rotary_dim=8)

    @pytest.mark.parametrize("rotary_dim", [0, -2, 7, 8.0, "8", True])
    def test_rotary_dim_is_an_even_number(self, backend, doubled, rotary_dim):
        with pytest.raises(RopeConfigError, match="rotary_dim must be an even number >= 2, got "):
            backend.rotate(self.x(backend, 16), **doubled, layout="half", rotary_dim=rotary_dim)

    def test_a_device_is_waited_for_once_a_width(self, backend, monkeypatch):
        """As on a GPU; here by a stand-in that says of the CPU that it has to be waited for."""
        ops, read = backend.RotaryEmbedding.ops, []
        monkeypatch.setattr(type(ops), "waits", lambda self, array: True)
        numbers = type(ops).numbers
        monkeypatch.setattr(type(ops), "numbers", lambda self, array: read.append(array) or numbers(self, array))
        for _ in range(3):
            backend.rotate(self.x(backend, 22), **self.tables(backend, self.ANGLES[:, [0, 1, 2, 3]]), layout="half")
        assert len(read) == 1
        with pytest.raises(RopeConfigError, match=self.HINT):
            backend.rotate(self.x(backend, 34), **self.tables(backend, np.tile(self.ANGLES, 2)), layout="half")
