"""What is written reads back as what was read, in both spellings; what a spelling has no words for is an error."""

import json
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tightrope
from tightrope.rope.reading.families.text import FAMILIES

SHAPE = {"num_hidden_layers": 4, "max_position_embeddings": 8192}
SPELLINGS = ("v4", "v5")


def again(model, spelling):
    """Read what was written, after a trip through JSON."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return tightrope.read(json.loads(json.dumps(model.to_hf(spelling))), strict=True)


def same(one, other):
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("ropes", "layers", "model_type", "softmax_scale", "query_scales")
    )


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_real_configuration_comes_back(shared_config, spelling):
    model = tightrope.read(shared_config)
    if spelling == "v4" and model.model_type in V5_ALONE:
        pytest.skip("its class reads rope_parameters alone")
    fragment = model.to_hf(spelling)
    assert same(tightrope.read(json.loads(json.dumps(fragment))), model)


def lengths(low=1):
    return st.integers(low, 2**21)


def factors():
    return st.floats(1, 1e4) | st.integers(1, 10_000)


BLOCKS = st.one_of(
    st.just({"rope_type": "default"}),
    st.fixed_dictionaries({"rope_type": st.just("linear"), "factor": factors()}),
    st.fixed_dictionaries({"rope_type": st.just("ntk"), "factor": factors()}),
    st.fixed_dictionaries(
        {"rope_type": st.just("dynamic"), "factor": factors()},
        optional={"original_max_position_embeddings": lengths()},
    ),
    st.fixed_dictionaries(
        {"rope_type": st.just("yarn"), "factor": factors(), "original_max_position_embeddings": lengths()},
        optional={
            "attention_factor": st.floats(1e-3, 1e3),
            "attn_factor": st.floats(0.1, 10),
            "extrapolation_factor": st.floats(0, 2),
            "beta_fast": st.floats(16, 128),
            "beta_slow": st.floats(0.1, 8),
            "mscale": st.floats(0, 2),
            "mscale_all_dim": st.floats(0, 2),
            "truncate": st.booleans(),
        },
    ),
    st.fixed_dictionaries(
        {
            "rope_type": st.just("llama3"),
            "factor": factors(),
            "low_freq_factor": st.floats(0.1, 4),
            "high_freq_factor": st.floats(4, 64),
            "original_max_position_embeddings": lengths(),
        }
    ),
    st.fixed_dictionaries(
        {
            "rope_type": st.just("longrope"),
            "short_factor": st.lists(st.floats(0.5, 64), min_size=32, max_size=32),
            "long_factor": st.lists(st.floats(0.5, 64), min_size=32, max_size=32),
            "original_max_position_embeddings": lengths(low=2),
        },
        optional={"factor": factors(), "attention_factor": st.floats(1e-3, 1e3)},
    ),
    st.fixed_dictionaries({"rope_type": st.just("proportional"), "partial_rotary_factor": st.floats(0, 1)}),
)


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(block=BLOCKS, base=st.floats(1.5, 1e10), model_type=st.sampled_from(["llama", "phi3", "cohere", "deepseek_v3"]))
def test_every_rope_type_comes_back(spelling, block, base, model_type):
    if model_type == "phi3" and block["rope_type"] == "yarn":
        return  # in Phi 3 "yarn" is another name of longrope
    values = {
        "model_type": model_type,
        **({"qk_nope_head_dim": 128, "qk_rope_head_dim": 64} if model_type == "deepseek_v3" else {"head_dim": 64}),
        **SHAPE,
        "rope_parameters": {"rope_theta": base, **block},
    }
    model = tightrope.read(values, strict=True)
    assert same(again(model, spelling), model)


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(head=st.integers(4, 512), share=st.floats(0.01, 1))
def test_every_rotated_width_comes_back(spelling, head, share):
    # The share is written as a quotient that a reader truncates: no width may lose a channel.
    width = int(head * share)
    if width == 0 or (width == head and head % 2):
        return
    model = tightrope.read(
        {"model_type": "glm4_moe", "head_dim": head, **SHAPE, "rope_theta": 1e4, "partial_rotary_factor": share}
    )
    assert same(again(model, spelling), model)


# Classes whose own defaults cannot run: the sections do not fit the head, or the head is odd.
NO_DEFAULTS = {"glm4v_moe_text", "glm4v_text", "glm_image_text", "qwen3_omni_moe_text"}
# Families of transformers 5 alone: their classes read no old spelling, which has one share of the head for all layers.
REFUSED = {("laguna", "v4"), ("neomme", "v4")}
# transformers 5.23 cannot build their classes from the old spelling, or passes over its base.
V5_ALONE = {"diffusion_gemma_text", "gemma4_text", "gemma4_unified_text", "muse_spark_text", "ultrabert"}


def default_of(model_type):
    """Return a family's class as a wrapper saves it where nothing differs from its defaults."""
    return tightrope.read({"model_type": "wrapper", "text_config": {"model_type": model_type}})


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("model_type", sorted(FAMILIES.keys() - NO_DEFAULTS))
def test_every_familys_defaults_come_back(model_type, spelling):
    if spelling == "v4" and model_type in V5_ALONE:
        with pytest.raises(tightrope.RopeConfigError, match="is read by no library"):
            default_of(model_type).to_hf(spelling)
    elif (model_type, spelling) in REFUSED:
        with pytest.raises(tightrope.RopeConfigError, match="cannot express rotary_dim of"):
            default_of(model_type).to_hf(spelling)
    else:
        assert same(again(default_of(model_type), spelling), default_of(model_type))


@pytest.mark.parametrize("model_type", sorted(NO_DEFAULTS))
def test_defaults_that_cannot_run_are_refused(model_type):
    with pytest.raises(tightrope.RopeConfigError, match=r"mrope_section must add up to|rotary_dim must be even"):
        default_of(model_type)


def test_several_ropes_need_the_new_spelling_where_the_family_has_one():
    nested = {"a": {"rope_theta": 1e4}, "b": {"rope_theta": 1e6}}
    model = tightrope.read(
        {"model_type": "llama", "head_dim": 64, **SHAPE, "rope_parameters": nested, "layer_types": ["a", "b"] * 2}
    )
    assert same(again(model, "v5"), model)
    with pytest.raises(
        tightrope.RopeConfigError, match=r"v4 spelling of 'llama' has no words for several ropes \(a, b\)"
    ):
        model.to_hf("v4")


def test_step_3_5s_old_spelling_lists_a_value_a_layer():
    """As Step-3.5-Flash is published, and as mlx-lm reads it."""
    lists = {
        "layer_types": ["full_attention", *["sliding_attention"] * 3],
        "rope_theta": [5e6, 1e4, 1e4, 1e4],
        "partial_rotary_factors": [0.5, 1.0, 1.0, 1.0],
        "rope_scaling": {"rope_type": "linear", "type": "linear", "factor": 2.0},
    }
    model = tightrope.read({"model_type": "step3p5", "head_dim": 128, **SHAPE, **lists})
    written = model.to_hf("v4")
    assert {key: written[key] for key in lists} == lists
    assert same(again(model, "v5"), model)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"layout": "interleaved"}, "layout"), ({"side": "tail"}, "side"), ({"direction": -1}, "direction")],
)
def test_what_only_the_family_decides_cannot_be_written(change, field):
    model = tightrope.read({"model_type": "llama", "head_dim": 64, **SHAPE, "rope_theta": 1e4}).replace(**change)
    with pytest.raises(tightrope.RopeConfigError, match=f"cannot express {field} of 'default'"):
        model.to_hf("v5")


def test_an_unknown_spelling_is_refused():
    model = tightrope.read({"model_type": "llama", "head_dim": 64, **SHAPE, "rope_theta": 1e4})
    with pytest.raises(tightrope.RopeConfigError, match="spelling must be one of 'v4', 'v5', got 'v6'"):
        model.to_hf("v6")


def test_old_readers_find_the_type_under_either_name():
    model = tightrope.read({"model_type": "llama", "head_dim": 64, **SHAPE, "rope_theta": 1e4})
    block = model.replace(scaling={"rope_type": "linear", "factor": 2.0}).to_hf("v4")["rope_scaling"]
    assert (block["type"], block["rope_type"]) == ("linear", "linear")


@pytest.mark.parametrize(
    ("model_type", "keys"),
    [
        ("llama", {"rope_theta", "rope_scaling"}),
        ("gpt_neox", {"rotary_emb_base", "rotary_pct", "rope_scaling"}),
        ("minimax_m2", {"rope_theta", "rotary_dim", "rope_scaling"}),
        ("gemma3_text", {"rope_theta", "rope_local_base_freq", "rope_scaling"}),
        ("modernbert", {"global_rope_theta", "local_rope_theta", "rope_scaling"}),
    ],
)
def test_the_old_spelling_has_each_familys_own_keys(model_type, keys):
    model = tightrope.read({"model_type": model_type, "head_dim": 64, **SHAPE, "partial_rotary_factor": 0.5})
    assert keys <= model.to_hf("v4").keys()
    assert "rope_parameters" not in model.to_hf("v4")


def test_the_function_writes_what_the_method_writes():
    model = tightrope.read({"model_type": "llama", "head_dim": 64, **SHAPE, "rope_theta": 5e5})
    assert tightrope.to_hf(model, "v4") == model.to_hf("v4")
    assert tightrope.to_hf(model) == model.to_hf("v5")


def test_what_is_no_model_is_refused():
    with pytest.raises(tightrope.RopeConfigError, match="model must be a ModelRope"):
        tightrope.to_hf({"model_type": "llama"})


@pytest.mark.parametrize("model_type", sorted(V5_ALONE))
def test_a_spelling_that_no_library_reads_is_refused_by_convert(model_type):
    with pytest.raises(tightrope.RopeConfigError, match="is read by no library"):
        tightrope.convert({"model_type": "wrapper", "text_config": {"model_type": model_type}}, "v4")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_attn_factor_is_written_beside_the_factor_that_it_makes(spelling):
    # transformers reads attention_factor alone, vLLM attn_factor: (0.1 ln 4 + 1) / 2 is said to both.
    block = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048, "attn_factor": 0.5}
    model = tightrope.read({"model_type": "llama", "head_dim": 64, **SHAPE, "rope_theta": 5e5, "rope_scaling": block})
    fragment = model.to_hf(spelling)
    written = fragment["rope_scaling" if spelling == "v4" else "rope_parameters"]
    assert written["attn_factor"] == 0.5
    assert written["attention_factor"] == pytest.approx(0.5693147180559945, rel=1e-15)
    assert same(tightrope.read(fragment), model)
