"""Each rope type in float32 against transformers' own function for it."""

import numpy as np
import pytest

from samples.rope_blocks import BASE, DECLARED, DIM, LLAMA3, LONG, SHORT, TRAINED, rope
from tightrope import frequencies

TRANSFORMERS = [
    ({"rope_type": "linear", "factor": 4.0}, (None,)),
    ({"rope_type": "dynamic", "factor": 4.0}, (1, DECLARED, DECLARED + 1, 100_000)),
    ({"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": TRAINED}, (None,)),
    ({"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": TRAINED, "truncate": False}, (None,)),
    (
        {"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": TRAINED, "mscale": 0.707,
         "mscale_all_dim": 1.0},
        (None,),
    ),
    (
        {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": TRAINED, "beta_fast": 1.0,
         "beta_slow": 1.0},
        (None,),
    ),
    (
        {"rope_type": "longrope", "short_factor": list(SHORT), "long_factor": list(LONG),
         "original_max_position_embeddings": TRAINED},
        (1, TRAINED, TRAINED + 1),
    ),
    ({"rope_type": "llama3", **LLAMA3}, (None,)),
    ({"rope_type": "proportional", "partial_rotary_factor": 0.25, "factor": 2.0}, (None,)),
]  # fmt: skip


@pytest.mark.backend("torch")
@pytest.mark.parametrize(("block", "lengths"), TRANSFORMERS)
@pytest.mark.parametrize("base", [10_000.0, BASE])
def test_float32_agrees_with_transformers(block, lengths, base):
    """At most two float32 ulp apart: torch's power may be one off, and a division carries that on."""
    rope_utils = pytest.importorskip("transformers.modeling_rope_utils")
    from transformers import LlamaConfig

    theirs = LlamaConfig(
        hidden_size=4 * DIM,
        num_attention_heads=4,
        head_dim=DIM,
        max_position_embeddings=DECLARED,
        rope_parameters={"rope_theta": base, **block},
    )
    ours = rope(block, base=base)
    for length in lengths:
        inv_freq, factor = rope_utils.ROPE_INIT_FUNCTIONS[block["rope_type"]](theirs, "cpu", seq_len=length)
        got = frequencies(ours, length, precision="float32")
        expected = inv_freq.numpy()
        assert (np.abs(got.inv_freq - expected) <= 2 * np.spacing(expected)).all()
        assert got.attention_factor == pytest.approx(factor, rel=1e-15, abs=0)
