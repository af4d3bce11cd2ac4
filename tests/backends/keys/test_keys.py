"""Keys with a record: moved to what a receiver needs as if they had been rotated there, or refused by field."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest

import tightrope
from tightrope import RopeConfigError, keys

CONFIG = {"model_type": "llama", "head_dim": 16, "num_hidden_layers": 2, "rope_theta": 5e5}
LONGROPE = {
    **CONFIG, "max_position_embeddings": 64,
    "rope_scaling": {
        "rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [3.0] * 8, "factor": 4.0,
        "original_max_position_embeddings": 16,
    },
}  # fmt: skip
MODEL = tightrope.read(CONFIG)
HALF, PAIRS = MODEL.rope(), MODEL.rope().replace(layout="interleaved")
AT = np.arange(7) + 3
K = np.random.default_rng(0).standard_normal((1, 2, 7, 16)).astype(np.float32)
PLAIN = keys.record_of(MODEL, AT, dtype="float32", kv_heads=2, rotated=False)
ROTATED = replace(PLAIN, rotated=True)


@pytest.fixture
def put(backend):
    return lambda array, dtype="float32": backend.asarray(array, dtype, backend.devices()[0])


def interleaved(array):
    return array.reshape(*array.shape[:-1], 2, 8).swapaxes(-1, -2).reshape(array.shape)


def test_plain_keys_arrive_as_if_rotated_there(backend, put):
    rope = backend.RotaryEmbedding(MODEL)
    moved = keys.move(put(K), PLAIN, ROTATED, layer=1)
    assert np.array_equal(backend.to_numpy(moved), backend.to_numpy(rope(put(K), positions=put(AT, "int64"))))


def test_a_rotation_is_taken_back_and_the_argument_stays(backend, put):
    rotated = backend.RotaryEmbedding(MODEL)(put(K), offset=3)
    before = backend.to_numpy(rotated).copy()
    assert (
        np.abs(backend.to_numpy(keys.move(rotated, ROTATED, PLAIN, layer=0)) - K).max() < 4 * 2**-24 * np.abs(K).max()
    )
    assert np.array_equal(backend.to_numpy(rotated), before)


def test_other_positions_and_other_frequencies(backend, put):
    model = tightrope.read(LONGROPE)
    rope = backend.RotaryEmbedding(model)
    near = keys.record_of(model, AT, dtype="float32", kv_heads=2)
    far = keys.record_of(model, AT + 100, dtype="float32", kv_heads=2)
    moved = keys.move(rope(put(K), offset=3), near, far, layer=0)
    expected = rope(put(K), offset=103)
    bound = 16 * 2**-24 * np.abs(K).max()
    assert np.abs(backend.to_numpy(moved) - backend.to_numpy(expected)).max() < bound
    back = keys.move(expected, far, near, layer=0)
    assert np.abs(backend.to_numpy(back) - backend.to_numpy(rope(put(K), offset=3))).max() < bound


def test_keys_of_precision_float32_move_between_its_angles(backend, put):
    rope = backend.RotaryEmbedding(MODEL, precision="float32")
    rotated = keys.record_of(MODEL, AT, dtype="float32", kv_heads=2, precision="float32")
    moved = keys.move(put(K), replace(rotated, rotated=False), rotated, layer=0)
    expected = backend.to_numpy(rope(put(K), positions=put(AT, "int64")))
    assert np.abs(backend.to_numpy(moved) - expected).max() < 8 * 2**-24 * np.abs(K).max()
    with pytest.raises(RopeConfigError, match="precision must be the same"):
        keys.move(put(K), rotated, ROTATED, layer=0)


def test_layouts_change_bit_for_bit(backend, put):
    rotated = backend.RotaryEmbedding(HALF)(put(K), offset=3)
    other = replace(ROTATED, layout="interleaved")
    moved = keys.move(rotated, ROTATED, other, layer=0)
    expected = backend.RotaryEmbedding(PAIRS)(put(interleaved(K)), offset=3)
    assert np.array_equal(backend.to_numpy(moved), interleaved(backend.to_numpy(rotated)))
    assert np.array_equal(backend.to_numpy(moved), backend.to_numpy(expected))
    assert np.array_equal(backend.to_numpy(keys.move(moved, other, ROTATED, layer=0)), backend.to_numpy(rotated))


@pytest.mark.parametrize(
    ("order", "expected"),
    [("bhsd", K), ("bshd", K.swapaxes(1, 2)), ("thd", K[0].swapaxes(0, 1))],
)
def test_orders_change_and_change_back(backend, put, order, expected):
    other = replace(ROTATED, order=order)
    moved = keys.move(put(K), ROTATED, other, layer=0)
    assert np.array_equal(backend.to_numpy(moved), expected)
    assert np.array_equal(backend.to_numpy(keys.move(moved, other, ROTATED, layer=0)), K)


WINDOWS = replace(ROTATED, kind=("full", "window"))


def test_a_window_holds_the_latest_tokens(backend, put):
    """Five of seven: moved by the positions of the last five; a layer that is no window must have all."""
    rope = backend.RotaryEmbedding(MODEL)
    far = replace(WINDOWS, positions=tuple((AT + 100).tolist()))
    moved = keys.move(put(K[:, :, 2:]), replace(WINDOWS, rotated=False), far, layer=1)
    expected = rope(put(K[:, :, 2:]), positions=put(AT[2:] + 100, "int64"))
    assert np.array_equal(backend.to_numpy(moved), backend.to_numpy(expected))
    assert keys.move(put(K[:, :, 7:]), WINDOWS, far, layer=1).shape[2] == 0
    for array, layer in ((K[:, :, 2:], 0), (np.concatenate((K, K), 2), 1)):
        with pytest.raises(RopeConfigError, match="2 heads and 7 tokens"):
            keys.move(put(array), WINDOWS, far, layer=layer)


def test_one_kind_for_all_is_that_kind_for_each():
    assert list(keys.differences(ROTATED, replace(ROTATED, kind=("full", "full")))) == []
    assert keys.KeyRecord.from_json(WINDOWS.to_json()) == WINDOWS


OTHER = {
    "layers": replace(keys.record_of({**CONFIG, "rope_theta": 1e4}, AT, dtype="float32", kv_heads=2)),
    "dtype": replace(ROTATED, dtype="bfloat16"),
    "kv_heads": replace(ROTATED, kv_heads=4),
    "slice": replace(ROTATED, slice=(1, 2)),
    "kind": replace(ROTATED, kind="window"),
    "weights": replace(ROTATED, weights="b"),
    "tokens": replace(ROTATED, tokens=(2,) * 7),
    "positions": keys.record_of(MODEL, AT[1:], dtype="float32", kv_heads=2),
}


@pytest.mark.parametrize("field", OTHER)
def test_what_no_operation_changes_is_refused_by_field(backend, put, field):
    source = replace(ROTATED, weights="a", tokens=(1,) * 7)
    with pytest.raises(RopeConfigError, match=f"(^|- ){field} must be"):
        keys.move(put(K), source, OTHER[field], layer=0)


def test_a_declared_context_is_no_difference():
    longer = keys.record_of({**CONFIG, "max_position_embeddings": 7777}, AT, dtype="float32", kv_heads=2)
    assert list(keys.differences(longer, ROTATED)) == []


def test_arrays_that_are_not_what_the_record_says_are_refused(backend, put):
    with pytest.raises(RopeConfigError, match="2 heads and 7 tokens"):
        keys.move(put(K[:, :, :5]), ROTATED, ROTATED, layer=0)
    with pytest.raises(RopeConfigError, match="must be an array of torch or MLX"):
        keys.move(K, ROTATED, ROTATED, layer=0)
    with pytest.raises(RopeConfigError, match=r"keys must be of the record's dtype 'float32', got .*float16"):
        keys.move(put(K, "float16"), ROTATED, ROTATED, layer=0)
    with pytest.raises(RopeConfigError, match=r"keys must have at least rotary_dim \(16\) channels, got 8"):
        keys.move(put(K[..., :8]), ROTATED, replace(ROTATED, layout="interleaved"), layer=0)


@pytest.mark.parametrize("layer", [-1, 2, 0.0, "0", None])
def test_a_layer_is_counted_from_0(backend, put, layer):
    with pytest.raises(RopeConfigError, match="layer must be one of the 2"):
        keys.move(put(K), ROTATED, ROTATED, layer=layer)


@pytest.mark.parametrize("record", [None, json.loads(ROTATED.to_json())])
def test_what_is_no_record_is_refused_by_name(backend, put, record):
    with pytest.raises(RopeConfigError, match="target must be a KeyRecord, got"):
        keys.move(put(K), ROTATED, record, layer=0)


def test_a_record_of_no_tokens_and_of_a_misspelt_field():
    assert keys.record_of(MODEL, [], dtype="float32", kv_heads=2).count == 0
    with pytest.raises(RopeConfigError, match="unknown field 'rotaded'; did you mean 'rotated'"):
        keys.record_of(MODEL, AT, dtype="float32", kv_heads=2, rotaded=True)


def test_a_record_survives_json_bit_by_bit():
    record = keys.KeyRecord.from_metadata(ROTATED.to_metadata())
    assert np.array_equal(record.frequencies(0).inv_freq, tightrope.frequencies(MODEL.rope()).inv_freq)
    assert list(keys.differences(record, ROTATED)) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"version": 2}, "version of the record must be 1, got 2"),
        ({"version": None}, "version of the record must be 1"),
        ({"rotaded": True}, "unknown field 'rotaded'; did you mean 'rotated'"),
        ({"dtype": "float8"}, "dtype must be one of"),
        ({"positions": [0.5]}, "positions must be whole numbers"),
        ({"positions": 3}, "positions must be"),
        ({"slice": [2, 2]}, "slice must be"),
        ({"kv_heads": 0}, "kv_heads must be"),
        ({"ropes": {}}, "ropes must state inv_freq"),
        ({"kind": "half"}, "kind must be one of"),
        ({"kind": ["full", "half"]}, "kind must be one of"),
        ({"kind": ["full"]}, "kind must be one, or one for each of 2 layers, got 1"),
        ({"kind": 3}, "kind must be one of"),
        ({"layers": 3}, "layers must be"),
    ],
)
def test_records_that_cannot_be_right_are_refused(changes, text):
    values = json.loads(ROTATED.to_json()) | changes
    with pytest.raises(RopeConfigError, match=text):
        keys.KeyRecord.from_json(json.dumps(values))


@pytest.mark.parametrize("text", [None, "", "[]", "{", "[" * 100_000, b"\xff"])
def test_what_is_no_record_is_refused(text):
    with pytest.raises(RopeConfigError):
        keys.KeyRecord.from_json(text)


class TestStream:
    """The record as a header, arrays behind it."""

    PARTS = tuple((layer, part, K + layer) for layer in (0, 1) for part in ("keys", "values"))

    @pytest.fixture
    def stream(self):
        file = io.BytesIO()
        keys.write_stream(file, ROTATED, self.PARTS)
        return file.getvalue()

    def test_what_was_written_is_read(self, stream):
        file = io.BytesIO(stream)
        parts = list(keys.read_parts(file, keys.read_record(file)))
        assert [(one.layer, one.part) for one in parts] == [part[:2] for part in self.PARTS]
        assert all(np.array_equal(one.array, part[2]) for one, part in zip(parts, self.PARTS, strict=True))

    @pytest.mark.parametrize(("dtype", "array"), [
        ("float32", K.astype(np.float64)), ("bfloat16", K), ("float16", K.astype(np.uint16)), ("float32", [1.0]),
    ])  # fmt: skip
    def test_an_array_of_another_dtype_is_not_converted(self, dtype, array):
        with pytest.raises(RopeConfigError, match=f"where the record's dtype is '{dtype}'"):
            keys.write_stream(io.BytesIO(), replace(ROTATED, dtype=dtype), [(0, "keys", array)])

    def test_a_window_is_written_and_read_with_the_tokens_it_has(self):
        file = io.BytesIO()
        keys.write_stream(file, WINDOWS, [(0, "keys", K), (1, "keys", K[:, :, 4:])])
        file.seek(0)
        parts = list(keys.read_parts(file, keys.read_record(file)))
        assert np.array_equal(parts[1].array, K[:, :, 4:])
        for layer, array in ((0, K[:, :, 4:]), (1, np.concatenate((K, K), 2))):
            with pytest.raises(RopeConfigError, match=r"shape must be \[1, 2, 7, 'width'\] by the record"):
                keys.write_stream(io.BytesIO(), WINDOWS, [(layer, "keys", array)])

    def test_wherever_it_is_cut_off_it_says_so(self, stream):
        for end in range(0, len(stream), 37):
            file = io.BytesIO(stream[:end])
            with pytest.raises(RopeConfigError, match="cut off"):
                list(keys.read_parts(file, keys.read_record(file)))

    def test_a_length_beyond_reason_is_refused_before_it_is_read(self):
        file = io.BytesIO(b"TRKEYS1\n" + b"\xff" * 8)
        with pytest.raises(RopeConfigError, match="the record must be at most"):
            keys.read_record(file)

    @pytest.mark.parametrize(
        ("old", "new"), [(b"7, 16]", b"9, 16]"), (b'"layer": 1', b'"layer": 0'), (b"TRKEYS1", b"TRKEYS2")]
    )
    def test_a_header_that_lies_is_refused(self, stream, old, new):
        file = io.BytesIO(stream.replace(old, new))
        with pytest.raises(RopeConfigError):
            list(keys.read_parts(file, keys.read_record(file)))
