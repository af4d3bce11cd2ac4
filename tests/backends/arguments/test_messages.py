"""Errors about arguments that do not fit: the field, the value in short, the conversion or the order that was meant."""

import sys

import numpy as np
import pytest

import tightrope
from samples.calls import ROPE, switching


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
