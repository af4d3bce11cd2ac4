"""A call of `RotaryEmbedding` in another library's words is answered with the call that makes what was meant."""

import pytest

import tightrope
from tightrope import RopeConfig, RopeConfigError

CONFIG = {"model_type": "llama", "head_dim": 64, "rope_theta": 5e5}
PLAIN = RopeConfig(head_dim=64, base=10_000.0)
# The arguments, and the rope that they mean.
CALLS = {
    "a width": ((64,), {}, PLAIN),
    "a width that is a float": ((64.0,), {}, PLAIN),
    "dim": ((), {"dim": 64}, PLAIN),
    "dim and theta": ((), {"dim": 64, "theta": 5e5}, PLAIN.replace(base=5e5)),
    "rope_theta": ((64,), {"rope_theta": 1e6}, PLAIN.replace(base=1e6)),
    "transformers 4": ((), {"dim": 64, "max_position_embeddings": 2048, "base": 5e5, "device": "cpu"},
                       PLAIN.replace(base=5e5)),
    "transformers 4 by place": ((64, 2048, 5e5), {}, PLAIN.replace(base=5e5)),
    "mlx.nn.RoPE": ((), {"dims": 64, "traditional": True, "base": 5e5, "scale": 1.0},
                    PLAIN.replace(base=5e5, layout="interleaved")),
    "mlx.nn.RoPE by place": ((64, True, 5e5), {}, PLAIN.replace(base=5e5, layout="interleaved")),
    "flash-attn": ((), {"dim": 64, "interleaved": True}, PLAIN.replace(layout="interleaved")),
    "vLLM": ((), {"head_size": 128, "rotary_dim": 64, "base": 1e4, "is_neox_style": False},
             RopeConfig(head_dim=128, base=1e4, rotary_dim=64, layout="interleaved")),
    "rotary_dim alone": ((), {"rotary_dim": 64}, PLAIN),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_the_call_that_is_named_makes_the_rope_that_was_meant(backend, call):
    arguments, keywords, meant = CALLS[call]
    with pytest.raises(RopeConfigError, match=r"takes a model or a rope, got .*; for a plain rope call ") as raised:
        backend.RotaryEmbedding(*arguments, **keywords)
    named = str(raised.value).partition("; for a plain rope call ")[2]
    made = eval(named, {"tightrope": tightrope, "RotaryEmbedding": backend.RotaryEmbedding})
    assert made.model.rope() == meant


def test_a_misspelt_argument_of_angles_is_named(backend):
    rope = backend.RotaryEmbedding(PLAIN)
    with pytest.raises(RopeConfigError, match=r"angles has no argument 'position_ids'; did you mean 'positions'\?"):
        rope.angles(position_ids=None)


@pytest.mark.parametrize(
    ("arguments", "keywords", "message"),
    [
        ((), {}, "got nothing; for a plain rope call"),
        ((), {"config": CONFIG}, r"got config=…; give it without a name: RotaryEmbedding\(config\)"),
        ((CONFIG,), {"device": "cpu"}, r"beside a model, got device=…; call RotaryEmbedding\(model\)"),
    ],
)
def test_so_is_one_with_a_configuration(backend, arguments, keywords, message):
    with pytest.raises(RopeConfigError, match=message):
        backend.RotaryEmbedding(*arguments, **keywords)
