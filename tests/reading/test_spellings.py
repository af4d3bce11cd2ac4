"""One meaning, however it is spelled: every way in which configurations have written their ropes."""

import pytest

import tightrope

SHAPE = {"hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 4, "max_position_embeddings": 8192}
YARN = {"factor": 4.0, "original_max_position_embeddings": 2048}


def config(model_type="llama", **keys):
    return {"model_type": model_type, **SHAPE, **keys}


def rope(*, strict=True, **keys):
    return tightrope.read(config(**keys), strict=strict).rope()


YARN_SPELLINGS = {
    "rope_scaling with type": {"rope_theta": 5e5, "rope_scaling": {"type": "yarn", **YARN}},
    "rope_scaling with rope_type": {"rope_theta": 5e5, "rope_scaling": {"rope_type": "yarn", **YARN}},
    "both names of the type": {"rope_theta": 5e5, "rope_scaling": {"type": "yarn", "rope_type": "yarn", **YARN}},
    "theta inside rope_scaling": {"rope_scaling": {"rope_type": "yarn", "rope_theta": 5e5, **YARN}},
    "rope_parameters": {"rope_parameters": {"rope_type": "yarn", "rope_theta": 5e5, **YARN}},
    "rope_parameters with type": {"rope_parameters": {"type": "yarn", "rope_theta": 5e5, **YARN}},
    "theta beside rope_parameters": {"rope_theta": 5e5, "rope_parameters": {"rope_type": "yarn", **YARN}},
    "original length at the top": {
        "rope_theta": 5e5,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0},
        "original_max_position_embeddings": 2048,
    },
    "nulls": {
        "rope_theta": 5e5,
        "rope_parameters": None,
        "head_dim": None,
        "rope_scaling": {"rope_type": "yarn", **YARN, "attention_factor": None, "beta_fast": None},
    },
    "an int for a float": {
        "rope_theta": 500000,
        "rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 2048.0},
    },
    "theta repeated": {"rope_theta": 5e5, "rope_parameters": {"rope_type": "yarn", "rope_theta": 5e5, **YARN}},
}


@pytest.mark.parametrize("spelling", YARN_SPELLINGS)
def test_every_spelling_means_the_same(spelling):
    assert rope(**YARN_SPELLINGS[spelling]) == rope(**YARN_SPELLINGS["rope_scaling with type"])


@pytest.mark.parametrize("block", [{"rope_scaling": None}, {"rope_scaling": {}}, {"rope_parameters": None}, {}])
def test_no_block_means_no_scaling(block):
    assert rope(rope_theta=5e5, **block).scaling.rope_type == "default"


@pytest.mark.parametrize(
    "keys",
    [
        {"hidden_size": 4096, "num_attention_heads": 32},
        {"hidden_size": 4096, "num_attention_heads": 32, "head_dim": None},
        {"hidden_size": 1, "num_attention_heads": 1, "head_dim": 128},
        {"n_embd": 4096, "n_head": 32, "hidden_size": None, "num_attention_heads": None},
        {"hidden_size": None, "num_attention_heads": None, "head_dim": 128},
    ],
)
def test_the_head_width_is_stated_or_derived(keys):
    assert rope(rope_theta=1e4, **keys).head_dim == 128


def test_a_null_head_dim_is_derived_even_where_the_family_has_a_default():
    # Qwen3's class default is 128; `getattr(config, "head_dim", None) or hidden_size // num_attention_heads`.
    qwen3 = config("qwen3", hidden_size=2048, head_dim=None)
    del qwen3["max_position_embeddings"]
    assert tightrope.read(qwen3).rope().head_dim == 64
    del qwen3["head_dim"]
    assert tightrope.read(qwen3).rope().head_dim == 128


@pytest.mark.parametrize("name", ["max_position_embeddings", "n_positions", "seq_length", "model_max_length"])
def test_the_context_length_has_several_names(name):
    values = config(rope_theta=1e4)
    del values["max_position_embeddings"]
    assert tightrope.read({**values, name: 4096}).rope().max_position_embeddings == 4096


@pytest.mark.parametrize(
    ("model_type", "keys", "width"),
    [
        ("gpt_neox", {"rotary_pct": 0.5, "rotary_emb_base": 1e4}, 64),
        ("gpt_neox", {"rotary_emb_base": 1e4}, 32),
        ("phi", {"partial_rotary_factor": 0.75, "rope_theta": 1e4}, 96),
        ("phi", {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.75}}, 96),
        ("phi", {"rope_theta": 1e4}, 64),
        ("minimax_m2", {"rotary_dim": 32, "rope_theta": 1e4}, 32),
        ("gptj", {"rotary_dim": 64}, 64),
        ("qwen", {"rotary_pct": 1.0, "kv_channels": 128, "rotary_emb_base": 1e4}, 128),
        ("nomic_bert", {"rotary_emb_fraction": 0.5, "rotary_emb_base": 1e3}, 64),
    ],
)
def test_the_rotated_share_has_several_names(model_type, keys, width):
    assert tightrope.read(config(model_type, head_dim=128, **keys)).rope().rotary_dim == width


def test_a_share_is_truncated_as_every_reader_does():
    # MiMo-V2: 0.334 · 192 = 64.128
    model = tightrope.read(config("mimo_v2_flash", head_dim=192, partial_rotary_factor=0.334))
    assert {rope.rotary_dim for rope in model.ropes.values()} == {64}


def test_an_odd_width_is_rounded_up_and_keeps_its_exponents():
    # arange(0, 21, 2) / 21: eleven frequencies, twenty-two channels
    narrow = tightrope.read(config("glm4_moe", head_dim=42, rope_theta=1e4)).rope()
    assert (narrow.rotary_dim, narrow.frequency_dim) == (22, 21)


def test_an_odd_width_that_a_family_cuts_off_is_refused():
    with pytest.raises(tightrope.RopeConfigError, match="rotary_dim must be even, got 21"):
        tightrope.read(config("phi", head_dim=42, rope_theta=1e4))


def test_a_share_has_no_effect_where_whole_heads_turn():
    model = tightrope.read(config(partial_rotary_factor=0.5, rope_theta=1e4))
    assert model.rope().rotary_dim == 128
    assert any("partial_rotary_factor 0.5 has no effect" in note for note in model.notes)


def test_proportional_keeps_the_width_and_takes_the_share_as_its_own():
    wide = rope(rope_theta=1e4, partial_rotary_factor=0.25, rope_scaling={"rope_type": "proportional"})
    assert (wide.rotary_dim, wide.scaling.partial_rotary_factor) == (128, 0.25)


def test_rope_scaling_counts_before_rope_parameters():
    both = config(
        rope_theta=5e5,
        rope_scaling={"rope_type": "linear", "factor": 2.0},
        rope_parameters={"rope_type": "yarn", "rope_theta": 1e6, **YARN},
    )
    model = tightrope.read(both)
    assert (model.rope().scaling.rope_type, model.rope().base) == ("linear", 5e5)
    assert any("rope_scaling counts, and they differ" in note for note in model.notes)


def test_the_inner_theta_counts_and_the_other_is_noted():
    model = tightrope.read(config(rope_theta=1e4, rope_parameters={"rope_type": "default", "rope_theta": 5e5}))
    assert model.rope().base == 5e5
    assert any("rope_parameters.rope_theta 500000.0 counts; rope_theta 10000.0 differs" in n for n in model.notes)


def test_the_original_length_at_the_top_counts():
    # transformers: "we give priority to self.original_max_position_embeddings"
    model = tightrope.read(
        config(rope_theta=1e4, rope_scaling={"rope_type": "yarn", **YARN}, original_max_position_embeddings=1024)
    )
    assert model.rope().scaling.original_max_position_embeddings == 1024
    assert any("the one at the top counts" in note for note in model.notes)


def test_an_original_length_alone_switches_nothing_on():
    assert rope(model_type="phi3", rope_theta=1e4, original_max_position_embeddings=2048).scaling.rope_type == "default"


@pytest.mark.parametrize("alias", ["su", "longrope"])
def test_su_is_longrope(alias):
    factors = {"short_factor": [1.0] * 64, "long_factor": [2.0] * 64}
    read = rope(rope_theta=1e4, rope_scaling={"type": alias, **factors}, original_max_position_embeddings=2048)
    assert read.scaling.rope_type == "longrope"


def factor_of(**block):
    """Return the attention factor of a YaRN block, and the notes of its model."""
    block = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048, **block}
    model = tightrope.read(config(rope_theta=1e4, rope_scaling=block))
    return tightrope.frequencies(model.rope()).attention_factor, model.notes


# 0.1 ln 4 + 1: YaRN's own factor for an extension by 4.
OWN = 1.1386294361119891


def test_attn_factor_multiplies_yarns_own_factor():
    # DeepSeek-R1-0528-Qwen3-8B: its product is 1 to the last digit; YaRN's code, vLLM and SGLang multiply.
    factor, notes = factor_of(attn_factor=0.8782488562869419)
    assert factor == pytest.approx(1.0, abs=1e-15)
    assert any("attn_factor 0.878249 counts" in note for note in notes)


def test_attn_factor_multiplies_the_ratio_of_the_mscales():
    # (0.1 · 2 · ln 4 + 1) / (0.1 · 1 · ln 4 + 1) · 0.5
    factor, _ = factor_of(attn_factor=0.5, mscale=2.0, mscale_all_dim=1.0)
    assert factor == pytest.approx((2 * OWN - 1) / OWN * 0.5, rel=1e-15)


def test_attention_factor_is_the_whole_factor():
    factor, notes = factor_of(attn_factor=0.9, attention_factor=1.1)
    assert factor == 1.1
    assert any("attn_factor has no effect" in note for note in notes)


def test_an_attention_factor_that_attn_factor_gives_too_is_one_statement():
    model = tightrope.read(
        config(
            rope_theta=1e4,
            rope_scaling={"rope_type": "yarn", **YARN, "attn_factor": 0.5, "attention_factor": 0.5 * OWN},
        )
    )
    assert (model.rope().scaling.attn_factor, model.rope().scaling.attention_factor) == (0.5, None)


def test_attn_factor_of_another_rope_type_has_no_effect():
    block = {"rope_type": "linear", "factor": 4.0, "attn_factor": 0.5}
    assert (
        "rope_scaling.attn_factor has no effect with rope_type 'linear'"
        in tightrope.read(config(rope_theta=1e4, rope_scaling=block)).notes
    )


def test_layer_types_name_their_ropes():
    nested = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    types = ["sliding_attention", "full_attention"] * 2
    model = tightrope.read(config("gemma3_text", rope_parameters=nested, layer_types=types), strict=True)
    assert model.layers == tuple(types)
    assert {key: rope.base for key, rope in model.ropes.items()} == {"full_attention": 1e6, "sliding_attention": 1e4}


def test_a_null_rope_means_no_position():
    nested = {"sliding_attention": {"rope_theta": 1e4}, "full_attention": None}
    types = ["sliding_attention", "full_attention"] * 2
    model = tightrope.read(config("cohere_compass_text", rope_parameters=nested, layer_types=types))
    assert model.layers == ("sliding_attention", None) * 2


def test_parameters_beside_nested_ones_are_shared():
    nested = {"full_attention": {}, "sliding_attention": {"rope_theta": 1e4}, "rope_theta": 1e6}
    model = tightrope.read(config("gemma3_text", rope_parameters=nested, layer_types=["full_attention"] * 4))
    assert {key: rope.base for key, rope in model.ropes.items()} == {"full_attention": 1e6, "sliding_attention": 1e4}


def test_gemma3s_old_spelling_scales_the_global_layers_alone():
    model = tightrope.read(
        config("gemma3_text", rope_theta=1e6, rope_local_base_freq=2e4, rope_scaling={"type": "linear", "factor": 8.0})
    )
    got = {key: (rope.base, rope.scaling.rope_type) for key, rope in model.ropes.items()}
    assert got == {"sliding_attention": (2e4, "default"), "full_attention": (1e6, "linear")}


def test_olmo3_scales_the_full_layers_alone_and_keeps_one_base():
    # Olmo3Config fills in 500000 for the sliding layers whatever rope_theta says: see known_differences.
    model = tightrope.read(config("olmo3", rope_theta=1e5, rope_scaling={"rope_type": "yarn", **YARN}))
    got = {key: (rope.base, rope.scaling.rope_type) for key, rope in model.ropes.items()}
    assert got == {"sliding_attention": (1e5, "default"), "full_attention": (1e5, "yarn")}


def test_an_unknown_family_reads_like_llama_and_says_so():
    with pytest.warns(tightrope.RopeWarning, match="unknown model_type 'novel': read like Llama"):
        model = tightrope.read(config("novel", rope_theta=5e5, partial_rotary_factor=0.5))
    assert (model.rope().layout, model.rope().rotary_dim) == ("half", 64)
    assert any("unknown model_type 'novel'" in note for note in model.notes)


@pytest.mark.parametrize(
    ("model_type", "keys", "note"),
    [
        ("gpt_neox", {"rotary_emb_base": 20000}, "rotary_emb_base 20000 is read as rope_theta"),
        ("gpt_neox", {"rotary_pct": 0.5}, "rotary_pct 0.5 is read as partial_rotary_factor"),
        ("chatglm", {"kv_channels": 64}, "kv_channels 64 is read as head_dim"),
        ("chatglm", {"rope_ratio": 500}, "rope_ratio 500 multiplies the base"),
        ("gemma3_text", {"rope_local_base_freq": 2e4}, "rope_local_base_freq 20000.0 is read as rope_theta of sliding"),
        ("phi3small", {"rope_position_scale": 0.5}, "rope_position_scale 0.5 is read as linear scaling by 2"),
        ("hunyuan_vl_text", {"rope_scaling": {"type": "xdrope", "alpha": 9.0, "xdrope_section": [16] * 4}},
         "rope_scaling.xdrope_section is read as mrope_section"),
    ],
)  # fmt: skip
def test_a_familys_own_word_is_noted(model_type, keys, note):
    assert any(text.startswith(note) for text in tightrope.read(config(model_type, **keys)).notes)


def test_the_usual_words_need_no_note():
    keys = {"rope_theta": 1e4, "partial_rotary_factor": 0.5, "head_dim": 128}
    assert tightrope.read(config("glm", **keys)).notes == ()
