"""What a configuration states counts: null and false, the class that it names, the keys of a family that is unknown."""

import warnings

import pytest

import tightrope

SHAPE = {"hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 8, "max_position_embeddings": 131072}


def read(**keys):
    """Read a configuration, without the warnings of unknown families."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tightrope.RopeWarning)
        return tightrope.read({**SHAPE, **keys})


class TestNull:
    # modeling_olmo_hybrid.py of transformers 5.23: rotary_emb is None where rope_theta is None.
    @pytest.mark.parametrize(
        "keys",
        [
            {"rope_parameters": {"rope_theta": None, "rope_type": "default"}},
            {"rope_theta": None},
            {"rope_parameters": {"rope_theta": None}, "rope_theta": 5e5},
            {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "rope_theta": None}},
        ],
        ids=str,
    )
    def test_a_base_of_null_means_no_rotation_in_olmo_hybrid(self, keys):
        types = (["linear_attention"] * 3 + ["full_attention"]) * 2
        model = read(model_type="olmo_hybrid", layer_types=types, **keys)
        assert (dict(model.ropes), model.layers) == ({}, (None,) * 8)
        assert any("rope_theta is null" in note for note in model.notes)

    @pytest.mark.parametrize("keys", [{}, {"rope_parameters": None}, {"rope_parameters": {"rope_type": "default"}}])
    def test_a_base_that_is_missing_is_the_default_in_olmo_hybrid(self, keys):
        assert read(model_type="olmo_hybrid", **keys).rope().base == 10_000

    # transformers cannot build these: None ** Tensor.
    @pytest.mark.parametrize("model_type", ["llama", "qwen3", "gemma2", "novel"])
    @pytest.mark.parametrize(
        "keys", [{"rope_theta": None, "rope_scaling": None}, {"rope_parameters": {"rope_theta": None}}], ids=str
    )
    def test_a_base_of_null_is_refused_elsewhere(self, model_type, keys):
        with pytest.raises(tightrope.RopeConfigError, match="rope_theta must be a finite number > 0, got null"):
            read(model_type=model_type, partial_rotary_factor=1.0, **keys)

    def test_a_base_of_null_at_the_top_yields_to_that_of_the_block(self):
        assert read(model_type="llama", rope_theta=None, rope_parameters={"rope_theta": 5e5}).rope().base == 5e5


class TestFalse:
    @pytest.mark.parametrize(
        "keys",
        [
            {"use_positional_embeddings": False},
            {"use_rope": False},
            {"attn_use_rope": False},
            {"rotary": False},
            {"no_rope": True},
            {"position_embedding_type": "learned"},
            {"position_embedding_type": "nope"},
            {"alibi": True},
        ],
        ids=str,
    )
    def test_nothing_rotates_in_an_unknown_family(self, keys):
        model = read(model_type="jurassic3", rope_theta=1e6, **keys)
        assert (dict(model.ropes), model.layers) == ({}, (None,) * 8)

    @pytest.mark.parametrize("keys", [{"use_rope": True}, {"position_embedding_type": "rope"}, {"alibi": False}])
    def test_all_rotates_in_an_unknown_family_that_says_so(self, keys):
        assert read(model_type="novel", rope_theta=1e6, **keys).layers == ("default",) * 8


class TestTheCode:
    def test_mimo_v2_is_the_successor_of_mimo_v2_flash(self):
        # SGLang's mimo_v2: rope_theta = config.swa_rope_theta in sliding layers.
        keys = {
            "head_dim": 192,
            "rope_theta": 1e7,
            "swa_rope_theta": 1e4,
            "partial_rotary_factor": 0.334,
            "hybrid_layer_pattern": [0, 1, 1, 1, 1, 1, 1, 0],
        }
        model = read(model_type="mimo_v2", **keys)
        assert [model.for_layer(index).base for index in range(8)] == [1e7, *[1e4] * 6, 1e7]

    def test_an_unknown_successor_is_read_like_the_family_whose_own_keys_it_has(self):
        model = read(model_type="mimo_v3", rope_theta=1e7, swa_rope_theta=1e4, hybrid_layer_pattern=[0, 1] * 4)
        assert [model.for_layer(index).base for index in range(2)] == [1e7, 1e4]
        with pytest.warns(tightrope.RopeWarning, match="unknown model_type 'mimo_v3': read like 'mimo_v2"):
            tightrope.read({**SHAPE, "model_type": "mimo_v3", "rope_theta": 1e7, "swa_rope_theta": 1e4})

    @pytest.mark.parametrize(
        "keys",
        [
            {"position_embedding_type": "rotary", "rotary_emb_base": 20000.0},
            {"auto_map": {"AutoConfig": "org/code--configuration_xlm_roberta.XLMRobertaFlashConfig"}},
        ],
        ids=str,
    )
    def test_jina_embeddings_v3_bears_the_name_of_xlm_roberta(self, keys):
        rope = read(model_type="xlm-roberta", **keys).rope()
        assert (rope.base, rope.rotary_dim, rope.layout) == (20_000, 128, "half")

    def test_rotary_positions_of_another_family_without_them_are_refused(self):
        with pytest.raises(tightrope.RopeConfigError, match="'bert' has no rotary positions in its own code"):
            read(model_type="bert", position_embedding_type="rotary")

    def test_absolute_positions_are_no_reason_to_refuse(self):
        assert not read(model_type="bert", position_embedding_type="absolute").ropes

    def test_architectures_name_the_code_of_an_unknown_model_type(self):
        model = read(model_type="novel", architectures=["GPTNeoXForCausalLM"], rotary_pct=0.25, rotary_emb_base=1e5)
        assert (model.rope().rotary_dim, model.rope().base, model.model_type) == (32, 1e5, "gpt_neox")

    def test_auto_map_counts_before_a_model_type_of_transformers(self):
        mapped = {"AutoModelForCausalLM": "modeling_cohere.CohereForCausalLM"}
        model = read(model_type="llama", rope_theta=1e4, auto_map=mapped)
        assert model.rope().layout == "interleaved"
        assert any("auto_map names the code" in note for note in model.notes)

    def test_architectures_do_not_count_before_a_known_model_type(self):
        model = read(model_type="llama", rope_theta=1e4, architectures=["CohereForCausalLM"])
        assert model.rope().layout == "half"
        assert any(
            "architectures names the code 'CohereForCausalLM'; model_type 'llama' counts" in n for n in model.notes
        )


QWEN1 = {"model_type": "qwen", "kv_channels": 128, "rotary_emb_base": 1e4, "seq_length": 2048}


class TestQwen1:
    @pytest.mark.parametrize("keys", [{"use_dynamic_ntk": True}, {}], ids=str)
    def test_dynamic_ntk_is_a_rope_type(self, keys):
        # get_ntk_alpha of modeling_qwen.py: 2 ** ceil(log2(5000 / 2048) + 1) - 1 = 7.
        rope = read(**QWEN1, **keys).rope()
        slowest = tightrope.frequencies(rope, seq_len=5000).inv_freq[-1]
        assert slowest == pytest.approx((1e4 * 7 ** (128 / 126)) ** (-126 / 128), rel=1e-14)

    def test_without_it_the_base_stays(self):
        assert read(**QWEN1, use_dynamic_ntk=False).rope().scaling.rope_type == "default"


LATENT = {"model_type": "novel_mla", "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "rope_theta": 1e4}


class TestUnknownFamily:
    def test_qk_rope_head_dim_means_mla(self):
        rope = read(**LATENT).rope()
        assert (rope.head_dim, rope.rotary_dim, rope.side) == (192, 64, "tail")

    @pytest.mark.parametrize(("key", "value"), [("rope_interleave", False), ("is_neox_style", True)])
    def test_the_layout_of_mla_is_what_the_file_says(self, key, value):
        assert read(**LATENT).rope().layout == "interleaved"
        assert read(**LATENT, **{key: value}).rope().layout == "half"

    def test_mla_without_its_other_width_is_refused(self):
        with pytest.raises(tightrope.RopeConfigError, match="qk_nope_head_dim is missing beside qk_rope_head_dim"):
            read(model_type="novel", qk_rope_head_dim=64, rope_theta=1e4)

    @pytest.mark.parametrize("spelling", ["v4", "v5"])
    def test_mla_comes_back(self, spelling):
        model = read(**LATENT, rope_interleave=False)
        with pytest.warns(tightrope.RopeWarning, match="read like DeepSeek"):
            assert tightrope.read(model.to_hf(spelling)).ropes == model.ropes

    @pytest.mark.parametrize("key", ["learnable", "fourier_terms", "trainable_freqs"])
    def test_a_block_of_learned_numbers_is_refused(self, key):
        with pytest.raises(tightrope.RopeConfigError, match=f"rope_parameters.{key} .* does not hold what is learned"):
            read(model_type="novel", rope_parameters={"rope_type": "default", "rope_theta": 1e4, key: 8})

    def test_latent_attention_that_does_not_say_how_much_rotates_is_warned_of(self):
        with pytest.warns(tightrope.RopeWarning) as warned:
            tightrope.read({**SHAPE, "model_type": "novel", "rope_theta": 1e4, "kv_lora_rank": 512})
        assert any("kv_lora_rank says latent attention" in str(warning.message) for warning in warned)

    @pytest.mark.parametrize("model_type", ["hymba", "nemotron_flash", "novel"])
    def test_a_rope_type_ntk_at_the_top(self, model_type):
        # nvidia/Hymba-1.5B: base * (2 max / orig - 1) ** (d / (d - 2)) with a factor of 2 that no key states.
        model = read(
            model_type=model_type,
            rope_theta=1e4,
            rope_type="ntk",
            orig_max_position_embeddings=32768,
            hidden_size=1600,
            num_attention_heads=25,
        )
        slowest = tightrope.frequencies(model.rope()).inv_freq[-1]
        assert slowest == pytest.approx((1e4 * 7 ** (64 / 62)) ** (-62 / 64), rel=1e-14)

    def test_another_rope_type_at_the_top_is_refused(self):
        with pytest.raises(tightrope.RopeConfigError, match="rope_type 'dynamic_ntk' at the top"):
            read(model_type="novel", rope_theta=1e4, rope_type="dynamic_ntk", orig_max_position_embeddings=2048)

    @pytest.mark.parametrize("key", ["fourier_coefficients", "learned_rope_freqs", "rope_theta_trainable", "use_fope"])
    def test_what_is_learned_is_refused(self, key):
        with pytest.raises(tightrope.RopeConfigError, match=f"{key} .*does not hold what is learned"):
            read(model_type="novel", rope_theta=1e4, **{key: True})

    def test_a_base_of_sliding_layers_is_read_where_layer_types_names_them(self):
        types = ["sliding_attention", "full_attention"] * 4
        model = read(model_type="novel", rope_theta=1e6, rope_local_base_freq=1e4, layer_types=types)
        assert [model.for_layer(index).base for index in range(2)] == [1e4, 1e6]

    @pytest.mark.parametrize("key", ["rotary_base", "rope_base", "rotary_emb_base", "rope_embedding_base"])
    def test_the_base_under_its_other_names(self, key):
        assert read(model_type="novel", **{key: 5e5}).rope().base == 5e5


# What transformers 5.23 does with a null at the top of the file: a default of its class, or nothing that runs.
@pytest.mark.parametrize(
    ("model_type", "key", "base"),
    [
        ("gemma4_text", "rope_theta", 1e6),
        ("gpt_neox", "rope_theta", 1e4),
        ("gpt_neox", "rotary_emb_base", None),
        ("nomic_bert", "rotary_emb_base", 1e3),
        ("nomic_bert", "rope_theta", None),
        ("gemma3_text", "rope_theta", None),
        ("ministral3", "rope_theta", 1e6),
    ],
)
def test_a_base_of_null_leaves_the_default_where_the_class_has_one(model_type, key, base):
    keys = {"model_type": model_type, "head_dim": 64, key: None}
    if base is None:
        with pytest.raises(tightrope.RopeConfigError, match=f"{key} must be a finite number > 0, got null"):
            read(**keys)
    else:
        model = read(**keys)
        assert model.for_layer(5).base == base
        assert any(f"{key} is null" in note for note in model.notes)


YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 8.0, "original_max_position_embeddings": 1024}


def test_truncate_of_null_counts_as_false_as_in_transformers():
    # modeling_rope_utils: truncate = rope_parameters_dict.get("truncate", True), then `if truncate`.
    model = read(model_type="llama", rope_parameters={**YARN, "truncate": None})
    assert model.ropes == read(model_type="llama", rope_parameters={**YARN, "truncate": False}).ropes
    assert "rope_parameters.truncate is null, which counts as false, as in transformers" in model.notes


@pytest.mark.parametrize("key", ["factor", "original_max_position_embeddings"])
def test_a_null_in_a_block_from_which_another_value_follows_is_noted(key):
    notes = read(model_type="llama", rope_parameters={**YARN, key: None}).notes
    assert f"rope_parameters.{key} is null: read as if it were missing" in notes


@pytest.mark.parametrize("key", ["qk_nope_head_dim", "qk_rope_head_dim"])
def test_a_width_of_null_is_refused_in_mla(key):
    with pytest.raises(tightrope.RopeConfigError, match=f"{key} must be a whole number > -?[01], got None"):
        read(model_type="deepseek_v3", rope_theta=1e4, **{key: None})


def test_a_switch_of_null_is_noted():
    assert (
        "rope_interleave is null: read as if it were missing"
        in read(model_type="deepseek_v3", rope_theta=1e4, rope_interleave=None).notes
    )


GEMMA4 = {"model_type": "gemma4_text", "head_dim": 64}


# What transformers 5.24 makes of these: global_head_dim counts where per_layer_config is not there.
@pytest.mark.parametrize(
    ("keys", "width"),
    [
        ({}, 512),
        ({"global_head_dim": 128}, 128),
        ({"per_layer_config": {}}, 64),
        ({"per_layer_config": {}, "global_head_dim": 128}, 64),
        ({"per_layer_config": {"5": {"head_dim": 96}, "7": {"head_dim": 96}}}, 96),
    ],
    ids=str,
)
def test_an_empty_per_layer_config_is_a_statement(keys, width):
    assert read(**GEMMA4, **keys).for_layer(5).head_dim == width


@pytest.mark.parametrize("model_type", ["gemma4_text", "gemma4_unified_text", "embedding_gemma2_text"])
def test_the_last_layer_of_gemma_4_is_full_whatever_is_listed(model_type):
    # configuration_gemma4.py: "Last layer must use `full_attention` … Forcing last layer"
    model = read(**{**GEMMA4, "model_type": model_type}, layer_types=["full_attention", "sliding_attention"] * 4)
    assert model.layers[-2:] == ("full_attention", "full_attention")
    assert any("the last layer is full_attention" in note for note in model.notes)


def test_layers_of_one_rope_that_have_other_widths_are_noted():
    widths = {str(index): {"qk_rope_head_dim": 64 if index < 4 else 32} for index in range(1, 8)}
    notes = read(model_type="dots3_note_text", per_layer_config=widths).notes
    assert any("qk_rope_head_dim (32) is not read" in note for note in notes)
