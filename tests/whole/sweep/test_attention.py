"""Beside the rotation: the factor on the logits and the temperature of the query are those of transformers' attention.

Both are seen in a family's own attention module, `tests/helpers/sweep/theirs/attention.py`.
"""

import inspect

import numpy as np
import pytest

pytest.importorskip("transformers")

import tightrope
from sweep.running import DRIVEN, cases
from sweep.spelling import spellings
from sweep.subjects.discovery import modeling_modules
from sweep.theirs.attention import logits_factor, temperature

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers warns about its own defaults

POSITIONS = np.array([0, 1, 8190, 8191, 8192, 16383, 16384, 131_071, 1_048_575])

# Where the source of attention names what these tests look for.
SOURCES = {family: inspect.getsource(module) for family, module in modeling_modules()}
SCALED = [family for family in DRIVEN if "mscale_all_dim" in SOURCES[family]]
TEMPERED = [
    family
    for family in DRIVEN
    if any(
        name in SOURCES[family] for name in ("get_llama_4_attn_scale", "attn_temperature_tuning", "attention_scaling:")
    )
]

# Two float64 products and a quotient on either side.
PRODUCTS = 6 * 2.0**-53
# float32, in 2⁻²⁴ of a query's length: cos and sin 1, the rotation 2, the factor's product 1; twice, for the quotient.
# The factor itself: a logarithm 2, a product and a sum 2; on both sides.
ROUNDING = (2 * 4 + 2 * 4) * 2.0**-24


def with_mscale(family):
    """The configurations of a family, one case each, whose block has mscale_all_dim."""
    found = {id(case.config): case for case in cases(family) if case.content == "text"}
    return [case for case in found.values() if case.rope.block.get("mscale_all_dim")]


@pytest.mark.parametrize("family", DRIVEN)
def test_softmax_scale_is_the_factor_on_the_logits(family):
    seen = [(case, factor) for case in with_mscale(family) if (factor := logits_factor(case)) is not None]
    if not seen:
        pytest.skip("no configuration has mscale_all_dim, or no attention module shows its factor")
    for case, factor in seen:
        for values in spellings(case).values():
            assert tightrope.read(values).softmax_scale == pytest.approx(factor, rel=PRODUCTS)


@pytest.mark.parametrize("family", SCALED)
def test_a_family_that_scales_its_logits_is_seen_to(family):
    assert any(logits_factor(case) not in (None, 1.0) for case in with_mscale(family))


def default_cases(family):
    """The configurations of a family with its own rope type, one case each; towers have no such thing."""
    found = {id(case.config): case for case in cases(family) if (case.variant, case.content) == ("default", "text")}
    return list(found.values())


@pytest.mark.parametrize("family", TEMPERED)
def test_query_scale_is_the_temperature_of_attention_in_every_layer(family, backend):
    for case in default_cases(family):
        model = tightrope.read(case.config.to_dict())
        rope = backend.RotaryEmbedding(model)
        for key in set(model.layers):
            expected = temperature(case, model.layers.index(key), POSITIONS)
            found = np.asarray(rope.query_scale(POSITIONS, key), np.float64)
            assert np.all(np.abs(found / found[0] - expected) <= ROUNDING * expected)


@pytest.mark.parametrize("family", TEMPERED)
def test_a_family_whose_temperature_grows_is_seen_to(family):
    case = default_cases(family)[0]
    layers = range(case.config.num_hidden_layers)
    assert any(temperature(case, layer, POSITIONS)[-1] > 1.1 for layer in layers)


@pytest.mark.parametrize("family", DRIVEN)
def test_only_these_families_have_a_temperature(family):
    models = [tightrope.read(case.config.to_dict()) for case in default_cases(family)]
    assert any(model.query_scales for model in models) == (family in TEMPERED)
