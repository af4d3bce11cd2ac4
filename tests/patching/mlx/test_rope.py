"""`MLXRope`, the drop-in for mlx-lm's attention: it rotates exactly, takes any offset, and remembers nothing."""

import numpy as np
import pytest

pytest.importorskip("mlx.core", exc_type=ImportError)

import mlx.core as mx

import tightrope
from models.tiny_models import fields
from tightrope.backends.mlx.mlx_lm.rope import MLXRope
from tightrope.rope import reference

pytestmark = pytest.mark.backend("mlx")

# Two products, a sum, cos and sin within 1e-7 (README): below four ulp of 1 for the norm of a pair.
ROUNDING = 4 * 2.0**-23


def exact(rope, x, offset):
    cos, sin = (part[:, None] for part in reference.cos_sin(rope, np.arange(offset, offset + x.shape[2])[None]))
    return reference.rotate(x, cos, sin, layout=rope.layout)


def vectors(width=16, tokens=6):
    return np.random.default_rng(0).standard_normal((1, 2, tokens, width)).astype(np.float32)


@pytest.mark.parametrize("offset", [0, 7, 100_003])
@pytest.mark.parametrize("name", ["llama3.1", "qwen2", "glm4", "deepseek_v3", "gpt_oss"])
def test_the_drop_in_rotates_exactly_at_any_offset(name, offset):
    rope = next(iter(tightrope.read(fields(name)).ropes.values()))
    x = vectors(rope.rotary_dim if rope.side == "tail" else rope.head_dim)
    rotated = np.array(MLXRope(rope)(mx.array(x), offset=offset))
    bound = ROUNDING * np.abs(x).max() * np.sqrt(2) * tightrope.frequencies(rope, offset + 6).attention_factor
    assert np.abs(rotated - exact(rope, x, offset)).max() <= bound


def test_no_call_depends_on_the_calls_before_it():
    """Speculative decoding rewinds, batches come and go: LongRoPE's switch must not remember."""
    rope = MLXRope(tightrope.read(fields("phi3")))
    x = mx.array(vectors())
    first = np.array(rope(x, offset=100))
    rope(x, offset=50_000)
    np.testing.assert_array_equal(np.array(rope(x, offset=100)), first)


def test_rows_of_a_batch_switch_tables_each_by_its_own_length():
    rope = MLXRope(tightrope.read(fields("phi3")))
    x = mx.array(np.concatenate([vectors(), vectors()]))
    rotated = np.array(rope(x, offset=mx.array([100, 50_000])))
    np.testing.assert_array_equal(rotated[:1], np.array(rope(x[:1], offset=100)))
    np.testing.assert_array_equal(rotated[1:], np.array(rope(x[1:], offset=50_000)))


def test_undoing_a_rotation_takes_the_attention_factor_out_again():
    config = tightrope.read(fields("qwen2"))
    assert tightrope.frequencies(config.ropes["default"]).attention_factor != 1
    rope, x = MLXRope(config), vectors()
    back = np.array(rope(rope(mx.array(x), offset=9), offset=9, inverse=True))
    np.testing.assert_allclose(back, x, atol=2 * ROUNDING * np.abs(x).max() * np.sqrt(2))


def test_positions_may_be_scaled_by_a_whole_number():
    rope, x = MLXRope(tightrope.read(fields("llama"))), mx.array(vectors(tokens=1))
    np.testing.assert_array_equal(np.array(rope(x, offset=5, scale=4)), np.array(rope(x, offset=20)))


def test_a_scale_that_leaves_the_integers_is_refused():
    with pytest.raises(tightrope.RopeConfigError, match="scale must be a whole number"):
        MLXRope(tightrope.read(fields("llama")))(mx.array(vectors()), scale=0.5)


def test_three_axes_are_taken_for_one_head():
    rope, x = MLXRope(tightrope.read(fields("llama"))), vectors()
    np.testing.assert_array_equal(
        np.array(rope(mx.array(x[:, 0]), offset=3)), np.array(rope(mx.array(x), offset=3))[:, 0]
    )


def test_explicit_positions_turn_each_token_by_its_own():
    rope, x = MLXRope(tightrope.read(fields("llama"))), mx.array(vectors())
    apart = rope(x, positions=mx.array([[3, 1, 4, 1, 5, 9]]))
    for token, position in enumerate([3, 1, 4, 1, 5, 9]):
        one = rope(x[:, :, token : token + 1], offset=position)
        np.testing.assert_array_equal(np.array(apart[:, :, token : token + 1]), np.array(one))


def test_the_layer_chooses_among_several_ropes():
    model = tightrope.read(fields("gemma3_text"))
    assert [MLXRope(model, layer).config.base for layer in (0, 1)] == [12_000.0, 1e6]


def test_a_layer_without_position_has_no_rope():
    with pytest.raises(tightrope.RopeConfigError, match="layer 3 has no position embedding"):
        MLXRope(tightrope.read(fields("cohere2")), 3)
