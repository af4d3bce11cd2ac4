"""What a call may be given: integers of every width and library, whole numbers as floats; and what it says else."""

import gc
import sys

import numpy as np
import pytest

import tightrope
from tightrope.rope.scaling.default import Default
from tightrope.rope.scaling.dynamic import Dynamic
from tightrope.rope.scaling.longrope import LongRope
from tightrope.rope.scaling.yarn import Yarn

ROPE = tightrope.RopeConfig(
    head_dim=16, rotary_dim=16, base=1e4, layout="half", scaling=Default(), max_position_embeddings=2**20
)


def switching(original):
    """A rope whose long table, of another frequency, holds beyond so many tokens."""
    scaling = LongRope(
        short_factor=(1.0,) * 8, long_factor=(3.0,) * 8, original_max_position_embeddings=original, factor=2.0
    )
    return ROPE.replace(scaling=scaling)


class Bench:
    def __init__(self, backend):
        self.backend = backend

    def q(self, *shape):
        values = np.random.default_rng(0).standard_normal(shape or (1, 2, 3, 16))
        return self.array(values, "float32")

    def array(self, values, dtype="int64"):
        if self.backend.name == "torch":
            import torch

            return torch.from_numpy(np.asarray(values)).to(getattr(torch, dtype))
        import mlx.core as mx

        return mx.array(np.asarray(values)).astype(getattr(mx, dtype))

    def __call__(self, config, *args, **how):
        rotated = self.backend.RotaryEmbedding(config)(*(args or (self.q(),)), **how)
        return self.backend.to_numpy(rotated[0] if isinstance(rotated, tuple) else rotated)


@pytest.fixture
def rotate(backend):
    return Bench(backend)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"])
@pytest.mark.parametrize("library", ["numpy", "framework"])
@pytest.mark.parametrize("how", ["offset", "positions"])
def test_integers_of_every_width_are_widened_before_a_length_is_taken(rotate, dtype, library, how):
    top = min(int(np.iinfo(dtype).max), 2**31 - 1)
    values = np.array([top], dtype) if how == "offset" else np.array([top - 2, top - 1, top], dtype)
    length = top + (3 if how == "offset" else 1)
    given = values if library == "numpy" else rotate.array(values, dtype)
    # One token fewer, and the other table holds.
    for original in (length - 1, length):
        config = switching(original)
        expected = rotate(config, positions=rotate.array(np.arange(length - 3, length)), seq_len=length)
        assert np.array_equal(rotate(config, **{how: given}), expected)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint8"])
def test_lengths_of_narrow_dtypes_are_compared_as_they_are(rotate, dtype):
    config = switching(2**18)
    expected = rotate(config, seq_len=100)
    for given in (np.array([100], dtype), rotate.array([100], dtype), np.array(100, dtype)):
        assert np.array_equal(rotate(config, seq_len=given), expected)


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64, np.uint64])
def test_numbers_of_numpy_are_integers(rotate, kind):
    assert np.array_equal(rotate(ROPE, offset=kind(100)), rotate(ROPE, offset=100))
    config = switching(50)
    assert np.array_equal(rotate(config, seq_len=kind(100)), rotate(config, seq_len=100))
    assert np.array_equal(rotate(config, seq_len=[kind(100)]), rotate(config, seq_len=100))


@pytest.mark.parametrize(
    "value", [True, 1.5, np.bool_(True), np.float64(3), "3", pytest.param(10**5000, id="huge")], ids=repr
)
def test_a_length_is_a_whole_number(backend, value):
    rope = backend.RotaryEmbedding(switching(50))
    with pytest.raises(tightrope.RopeConfigError) as raised:
        rope.angles(offset=0, length=value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("value", [True, 1.5, np.bool_(True), [True], [1.5], np.array([1.5]), "3", [[3]]], ids=repr)
def test_a_seq_len_that_is_no_whole_number_is_refused(rotate, value):
    with pytest.raises(tightrope.RopeConfigError, match="seq_len must be whole numbers"):
        rotate(switching(50), seq_len=value)


@pytest.mark.parametrize(
    "value", [True, 1.5, np.bool_(True), np.float64(3), "3", [3], 2**63 - 3, -(2**63) - 1], ids=repr
)
def test_an_offset_that_is_no_integer_is_refused(rotate, value):
    with pytest.raises(tightrope.RopeConfigError, match="offset must"):
        rotate(ROPE, offset=value)


@pytest.mark.parametrize("offset", [2**53 + 1, 2**62 + 3, -(2**55) - 1, 2**63 - 4])
def test_large_offsets_are_exact(rotate, offset):
    positions = np.array([offset, offset + 1, offset + 2])
    assert np.array_equal(rotate(ROPE, offset=offset), rotate(ROPE, positions=rotate.array(positions)))


@pytest.mark.parametrize("factor", [1e39, 1e300, 1e-39, 1e-300])
def test_an_attention_factor_beyond_float32_is_refused(backend, factor):
    with pytest.raises(tightrope.RopeConfigError, match=r"attention_factor must be .* float32"):
        backend.RotaryEmbedding(ROPE.replace(scaling=Yarn(factor=4.0, attention_factor=factor)))


WHOLE = [[0.0, 1.0, 77.0], [3.0, 2.0**23 + 1, 2.0**30]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fractional", [False, True])
@pytest.mark.parametrize("library", ["numpy", "framework"])
def test_whole_numbers_of_a_float_dtype_are_exact_positions(rotate, dtype, fractional, library):
    if rotate.backend.name == "mlx" and dtype == "float64" and library == "framework":
        pytest.skip("float64 of MLX has the values of float32 here")
    config, q = ROPE.replace(fractional=fractional), rotate.q(2, 2, 3, 16)
    given = np.array(WHOLE, dtype) if library == "numpy" else rotate.array(WHOLE, dtype)
    expected = rotate(config, q, positions=rotate.array(WHOLE))
    assert np.array_equal(rotate(config, q, positions=given), expected)


OMNI = {
    "model_type": "qwen3_omni_moe_text", "num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 4,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [3, 3, 2]},
}  # fmt: skip


@pytest.mark.parametrize("library", ["numpy", "framework"])
def test_times_of_audio_and_video_take_float32_angles_beside_exact_places(rotate, library):
    """As the thinker of Qwen3-Omni gives them: fractions on the first axis, whole numbers on the others."""
    rope = tightrope.read(OMNI).rope()
    time, place = np.array([0.0, 7.24, 90_000.0, 123.5]), np.array([0.0, 3.0, 1_000_003.0, 5.0])
    positions = np.stack((time, place, place))[:, None].astype(np.float32)
    given = positions if library == "numpy" else rotate.array(positions, "float32")
    cos, sin = map(rotate.backend.to_numpy, rotate.backend.RotaryEmbedding(rope).cos_sin(given))
    by_pair = np.moveaxis(positions[list(rope.mrope.pair_axes(rope.pairs))], 0, -1).astype(np.float64)
    angle = by_pair * tightrope.frequencies(rope).inv_freq
    # Exact angles are within 1e-7; a float32 frequency and product are each half an ulp of the angle off, and an ulp.
    bound = np.where(by_pair % 1 == 0, 1e-7, 2.0**-22 * np.abs(angle) + 1e-7)
    assert np.all(np.abs(cos - np.cos(angle)) <= bound)
    assert np.all(np.abs(sin - np.sin(angle)) <= bound)


def test_a_rope_that_follows_the_length_takes_whole_numbers_alone(rotate):
    scaling = {"rope_type": "dynamic", "rope_theta": 1e6, "factor": 2.0, "mrope_section": [3, 3, 2]}
    rope = tightrope.read({**OMNI, "max_position_embeddings": 64, "rope_parameters": scaling}).rope()
    with pytest.raises(tightrope.RopeConfigError, match="positions must be whole numbers"):
        rotate.backend.RotaryEmbedding(rope).cos_sin(rotate.array(np.full((3, 1, 2), 0.5), "float32"))


def test_fractions_beside_whole_numbers_take_float32_angles_and_leave_those_exact(rotate):
    config = ROPE.replace(fractional=True)
    mixed = rotate(config, positions=rotate.array([0.5, 2.0**23 + 1, 7.25], "float32"))
    whole = rotate(config, positions=rotate.array([0, 2**23 + 1, 0]))
    assert np.array_equal(mixed[:, :, 1], whole[:, :, 1])
    x = rotate.backend.to_numpy(rotate.q()).astype(np.float64)
    angle = np.array([0.5, 7.25])[:, None] * tightrope.frequencies(ROPE).inv_freq
    x1, x2 = x[:, :, [0, 2], :8], x[:, :, [0, 2], 8:]
    exact = np.concatenate([x1 * np.cos(angle) - x2 * np.sin(angle), x1 * np.sin(angle) + x2 * np.cos(angle)], -1)
    # An angle below 8 has an error below 2⁻²¹; cos, sin and the products add a few 2⁻²⁴.
    np.testing.assert_allclose(mixed[:, :, [0, 2]], exact, rtol=0, atol=2**-20 * np.abs(x).max())


@pytest.mark.parametrize("values", [[0.5, 1.0, 2.0], [np.nan, 1.0, 2.0], [np.inf, 1.0, 2.0]], ids=str)
def test_fractions_are_refused_where_the_rope_has_none(rotate, values):
    into = r"positions\.long\(\)" if rotate.backend.name == "torch" else r"positions\.astype\(mx\.int64\)"
    with pytest.raises(tightrope.RopeConfigError, match=f"positions must be whole numbers.*{into}"):
        rotate(ROPE, positions=rotate.array(values, "float32"))
    with pytest.raises(tightrope.RopeConfigError, match=r"positions must be whole numbers.*positions\.astype\(int\)"):
        rotate(ROPE, positions=np.array(values))


def test_what_another_library_holds_is_refused_with_its_conversion(rotate):
    mx, torch = pytest.importorskip("mlx.core"), pytest.importorskip("torch")

    values = np.ones((1, 2, 3, 16), np.float32)
    foreign = mx.array(values) if rotate.backend.name == "torch" else torch.from_numpy(values)
    for given in (values, foreign):
        with pytest.raises(
            tightrope.RopeConfigError, match=r"q must be a float .* array, got .*; convert it: "
        ) as raised:
            rotate(ROPE, given)
        how = str(raised.value).partition("convert it: ")[2]
        converted = eval(how, {"q": given, "torch": torch, "mx": mx})
        assert np.array_equal(rotate(ROPE, converted), rotate(ROPE, rotate.array(values, "float32")))


@pytest.mark.parametrize("order", ["bhsd", "bshd"])
def test_the_other_order_is_offered_where_shapes_fit_it(rotate, order):
    q = rotate.q(1, 2, 3, 16)
    tokens = 2 if order == "bhsd" else 3
    other = {"bhsd": "bshd", "bshd": "bhsd"}[order]
    with pytest.raises(tightrope.RopeConfigError, match=f"did you mean order='{other}'"):
        rotate(ROPE, q, positions=rotate.array(np.arange(tokens)), order=order)
    cos, sin = rotate.backend.RotaryEmbedding(ROPE).cos_sin(rotate.array(np.arange(tokens)))
    with pytest.raises(tightrope.RopeConfigError, match=f"did you mean order='{other}'"):
        rotate(ROPE, q, angles=(cos, sin), order=order)


def axes(order, heads):
    """The shape of 2 rows of 5 tokens in an order."""
    return [{"b": 2, "s": 5, "h": heads, "d": 16}[axis] for axis in order]


@pytest.mark.parametrize("said", ["bhsd", "bshd", "sbhd"])
@pytest.mark.parametrize("meant", ["bhsd", "bshd", "sbhd"])
def test_the_order_that_is_meant_is_offered(rotate, said, meant):
    q, k = rotate.q(*axes(meant, 4)), rotate.q(*axes(meant, 3))
    positions = rotate.array(np.tile(np.arange(5), (2, 1)))
    if said == meant:
        rotate(ROPE, q, k, positions=positions, order=said)
        return
    with pytest.raises(tightrope.RopeConfigError, match=f"did you mean order='{meant}'"):
        rotate(ROPE, q, positions=positions, order=said)
    if {said, meant} != {"bshd", "sbhd"}:  # which of their two equal axes is the batch, q and k do not tell
        with pytest.raises(
            tightrope.RopeConfigError, match=r"q and k must have one (length|batch), got .*; did you mean order="
        ):
            rotate(ROPE, q, k, order=said)
    keys = rotate.backend.RotaryEmbedding(ROPE)
    with pytest.raises(tightrope.RopeConfigError, match=f"did you mean order='{meant}'"):
        keys.rerotate(q, positions, *[tightrope.frequencies(ROPE)] * 2, order=said)


@pytest.mark.parametrize("lengths", [(3, 4), (4, 3)])
def test_lengths_of_q_and_k_that_differ_are_refused(rotate, lengths):
    q, k = (rotate.q(1, heads, length, 16) for heads, length in zip((4, 2), lengths, strict=True))
    with pytest.raises(
        tightrope.RopeConfigError, match=r"q and k must have one length, got \d and \d in order 'bhsd'; rot"
    ):
        rotate(ROPE, q, k)


def test_keys_of_the_order_of_megatron_move_as_others_do(rotate):
    rope, k = rotate.backend.RotaryEmbedding(ROPE), rotate.q(5, 2, 3, 16)
    other = tightrope.frequencies(ROPE.replace(base=500.0))
    how = rotate.array(np.arange(5)), tightrope.frequencies(ROPE), other
    expected = rotate.backend.to_numpy(rope.rerotate(rotate.q(5, 2, 3, 16).swapaxes(0, 1), *how, order="bshd"))
    found = rotate.backend.to_numpy(rope.rerotate(k, *how, order="sbhd"))
    assert np.array_equal(found, expected.swapaxes(0, 1))
    moved = rotate.backend.to_numpy(rope.shift(rotate.q(5, 2, 3, 16), 7, order="sbhd"))
    expected = rotate.backend.to_numpy(rope.shift(rotate.q(5, 2, 3, 16).swapaxes(0, 1), 7, order="bshd"))
    assert np.array_equal(moved, expected.swapaxes(0, 1))


@pytest.mark.parametrize("name", ["offset", "positions"])
@pytest.mark.parametrize("given", [[0, 1, 2], (0, 1, 2), range(3)], ids=["list", "tuple", "range"])
def test_a_sequence_of_python_is_refused_with_its_conversion(rotate, name, given):
    with pytest.raises(tightrope.RopeConfigError, match=f"{name} must be .*; convert it: ") as raised:
        rotate(ROPE, rotate.q(3, 2, 3, 16), **{name: given})
    how = str(raised.value).partition("convert it: ")[2]
    names = {name: given, "torch": sys.modules.get("torch"), "mx": sys.modules.get("mlx.core")}
    rotate(ROPE, rotate.q(3, 2, 3, 16), **{name: eval(how, names)})


@pytest.mark.parametrize("value", [3.0, np.float32(3), np.float64(3)], ids=repr)
def test_a_float_as_offset_is_refused_with_its_conversion(rotate, value):
    with pytest.raises(tightrope.RopeConfigError, match=r"offset must be .*; convert it: int\(offset\)$"):
        rotate(ROPE, offset=value)


def test_what_is_no_bool_does_not_say_transpose(rotate):
    cos, sin = rotate.backend.RotaryEmbedding(ROPE).cos_sin(rotate.array(np.arange(3)))
    for wrong in ("no", 1, None, [True] * 9999):
        with pytest.raises(tightrope.RopeConfigError, match="transpose must be True or False") as raised:
            rotate.backend.rotate(rotate.q(), cos=cos, sin=sin, layout="half", transpose=wrong)
        assert len(str(raised.value)) < 300


def test_packed_tokens_are_offered_where_axes_fit_them(rotate):
    with pytest.raises(tightrope.RopeConfigError, match="did you mean order='thd'"):
        rotate(ROPE, rotate.q(3, 2, 16))


def test_a_batch_of_k_that_differs_is_refused(rotate):
    with pytest.raises(tightrope.RopeConfigError, match="q and k must have one batch, got 1 and 2"):
        rotate(ROPE, rotate.q(), rotate.q(2, 2, 3, 16))


@pytest.mark.parametrize("name", ["offset", "positions", "seq_len", "angles"])
def test_a_long_value_is_shortened_in_the_message(rotate, name):
    with pytest.raises(tightrope.RopeConfigError) as raised:
        rotate(switching(50), **{name: [0.5] * 100_000})
    assert len(str(raised.value)) < 300


def test_a_model_without_ropes_says_so(rotate):
    model = tightrope.ModelRope(ropes={}, layers=(None, None))
    with pytest.raises(tightrope.RopeConfigError, match="this model has no ropes"):
        rotate(model)


def test_what_a_rope_was_known_by_goes_with_it(backend):
    from tightrope.backends.shared.tables import _NAMED

    gc.collect()
    before = len(_NAMED)
    for base in range(100):
        backend.RotaryEmbedding(ROPE.replace(base=1000.5 + base, scaling=Dynamic(factor=2.0)))
    gc.collect()
    assert len(_NAMED) <= before
