"""What the family table says and its small rules do: layouts, patterns of layers, MLA, decoys."""

import pytest

import tightrope
from tightrope.rope.reading.families.elsewhere import ELSEWHERE
from tightrope.rope.reading.families.lookup import find_family
from tightrope.rope.reading.families.text import FAMILIES

WRAPPERS = [wrapper for family in (FAMILIES | ELSEWHERE).values() for wrapper in family.wrappers]

SHAPE = {"hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 8, "max_position_embeddings": 8192}
LETTERS = {"sliding_attention": "S", "full_attention": "F", "default": "x", None: "."}


def read(model_type, **keys):
    return tightrope.read({"model_type": model_type, **SHAPE, "rope_theta": 1e4, **keys})


def pattern(model):
    """Return the layers as letters: S and F for sliding and full, x for the only rope, . for no position."""
    return "".join(LETTERS.get(key, str(key)[0]) for key in model.layers)


PATTERNS = {
    # window and global layers, each with a rope (the classes' __post_init__)
    "gemma3_text": ({}, "SSSSSFSS"),
    "gemma3_text, every 4": ({"sliding_window_pattern": 4}, "SSSFSSSF"),
    "gemma3n_text": ({}, "SSSSFSSS"),
    "gemma4_text, the last too": ({}, "SSSSSFSF"),
    "olmo3": ({}, "SSSFSSSF"),
    "modernbert": ({}, "FSSFSSFS"),
    "ultrabert": ({}, "SSFSSFSS"),
    "mimo_v2_flash": ({}, "FSSSSFSS"),
    "mimo_v2_flash, by flags": ({"hybrid_layer_pattern": [0, 1, 1, 1, 0, 1, 1, 0]}, "FSSSFSSF"),
    "neomme": ({"num_hidden_layers": 9}, "SSSSSFSSF"),
    "deepseek_v4": ({}, "cccccccc"),
    "deepseek_v4, by ratios": ({"compress_ratios": [0, 0, 4, 128, 4, 128, 4, 0]}, "mmcccccm"),
    "lfm3": ({}, "..F.S.F."),
    # positions in some layers only
    "llama4_text": ({}, "xxx.xxx."),
    "llama4_text, every 2": ({"no_rope_layer_interval": 2}, "x.x.x.x."),
    "llama4_text, an empty list": ({"no_rope_layers": []}, "xxx.xxx."),
    "llama4_text, listed": ({"no_rope_layers": [1, 0, 0, 1, 1, 1, 1, 1]}, "x..xxxxx"),
    "smollm3": ({}, "xxx.xxx."),
    "cohere2": ({}, "xxx.xxx."),
    "cohere2, no window": ({"sliding_window": None}, "........"),
    "exaone4": ({}, "xxx.xxx."),
    "exaone4, letters": ({"sliding_window_pattern": "LLG"}, "xx.xx.xx"),
    "exaone4, no window": ({"sliding_window": None}, "xxxxxxxx"),
    "afmoe": ({"global_attn_every_n_layers": 2}, "x.x.x.x."),
    "flint": ({}, "..xxx.x."),
    "beam": ({}, "SSSSS.S."),
    "muse_glimmer_text": ({}, "xxx.xxx."),
    "muse_glimmer_text, flags": ({"layer_rope_theta": [0, 5, 5, 5, 0, 5, 5, 5]}, ".xxx.xxx"),
    "cohere2_moe": ({}, "xxx.xxx."),
    "cohere2_moe, dense first": ({"first_k_dense_replace": 1, "sliding_window_pattern": 2}, "xx.x.x.x"),
    "granite_swa, one base": ({"layer_rope_theta": [1e4, 0] * 4}, "x.x.x.x."),
    "granite_swa, two bases": ({"layer_rope_theta": [1e4, 0, 5e5, 0] * 2}, "b.b.b.b."),
    "mllama_text_model": ({}, "xxx.xxxx"),
    "mllama_text_model, listed": ({"cross_attention_layers": [0, 7]}, ".xxxxxx."),
    # layers without attention
    "qwen3_next": ({}, "...x...x"),
    "qwen3_next, every 2": ({"full_attention_interval": 2}, ".x.x.x.x"),
    "lfm2": ({"full_attn_idxs": [2, 5]}, "..x..x.."),
    "bamba": ({"attn_layer_indices": [3]}, "...x...."),
    "minimax": ({}, "x.x.x.x."),
    "minimax, by flags": ({"attn_type_list": [0, 0, 0, 0, 0, 0, 0, 1]}, ".......x"),
    "recurrent_gemma": ({}, "..x..x.."),
    "olmo_hybrid": ({}, "...x...x"),
    "bailing_hybrid": ({"layer_group_size": 4}, "...x...x"),
    "bailing_moe_linear, both kinds turn": ({}, "xxxxxxxx"),
    "plamo2": ({"mamba_step": 4}, "..x...x."),
    "zamba2": ({"use_mem_rope": True}, "......x."),
    "llama": ({}, "xxxxxxxx"),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_layers_follow_the_familys_pattern(name):
    keys, expected = PATTERNS[name]
    assert pattern(read(name.split(",")[0], **keys)) == expected


def test_two_bases_are_two_ropes():
    model = read("granite_swa", layer_rope_theta=[1e4, 0, 5e5, 0] * 2)
    assert {key: rope.base for key, rope in model.ropes.items()} == {"base_10000": 1e4, "base_500000": 5e5}


def test_molmo2_scales_some_layers():
    model = read("molmo2_text", rope_scaling_layers=[1, 3], rope_scaling={"rope_type": "linear", "factor": 8.0})
    assert model.layers == ("unscaled", "scaled", "unscaled", "scaled", *["unscaled"] * 4)
    assert {key: rope.scaling.rope_type for key, rope in model.ropes.items()} == {
        "scaled": "linear",
        "unscaled": "default",
    }


def test_step3p5_lists_a_base_and_a_share_a_layer():
    types = ["full_attention", "sliding_attention"] * 4
    model = read(
        "step3p5",
        rope_theta=[5e6, 1e4] * 4,
        partial_rotary_factors=[0.5, 1.0] * 4,
        layer_types=types,
        head_dim=128,
        rope_scaling={"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 32.0},
    )
    got = {key: (rope.base, rope.rotary_dim, rope.scaling.rope_type) for key, rope in model.ropes.items()}
    assert got == {"full_attention": (5e6, 64, "llama3"), "sliding_attention": (1e4, 128, "default")}


@pytest.mark.parametrize(
    ("model_type", "layout"),
    [("deepseek_v3", "interleaved"), ("deepseek_v2", "interleaved"), ("minicpm3", "half"), ("hy_v4", "half")],
)
def test_mla_turns_the_tail(model_type, layout):
    rope = read(model_type, qk_nope_head_dim=96, qk_rope_head_dim=32, head_dim=32).rope()
    assert (rope.head_dim, rope.rotary_dim, rope.side, rope.layout) == (128, 32, "tail", layout)


@pytest.mark.parametrize(("flag", "layout"), [(True, "interleaved"), (False, "half")])
def test_rope_interleave_chooses_the_layout_of_mla(flag, layout):
    assert read("deepseek_v3", qk_nope_head_dim=96, qk_rope_head_dim=32, rope_interleave=flag).rope().layout == layout


def test_a_head_dim_that_mla_does_not_read_is_noted():
    model = read("glm_moe_dsa", qk_nope_head_dim=192, qk_rope_head_dim=64, head_dim=128)
    assert any("head_dim 128 has no effect: a head is 192 + 64 wide" in note for note in model.notes)


def test_widths_of_their_own():
    # Gemma 4: global layers have global_head_dim; transformers 5 writes the same as per_layer_config.
    nested = {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}
    shared = {"head_dim": 256, "rope_parameters": nested}
    for own in ({"global_head_dim": 512}, {"per_layer_config": {"05": {"head_dim": 512}, "07": {"head_dim": 512}}}):
        model = read("gemma4_text", **shared, **own)
        assert {key: rope.head_dim for key, rope in model.ropes.items()} == {
            "full_attention": 512,
            "sliding_attention": 256,
        }


def test_dots3_has_two_shapes_of_mla():
    model = read("dots3_note_text", qk_nope_head_dim=128, qk_rope_head_dim=64, swa_qk_nope_head_dim=160)
    assert {key: rope.head_dim for key, rope in model.ropes.items()} == {
        "indexed_attention": 192,
        "sliding_attention": 224,
    }


def test_nanochat_turns_the_other_way():
    assert read("nanochat").rope().direction == -1


def test_deepseek_v4_does_not_scale_cos_and_sin():
    yarn = {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 65536}
    model = read("deepseek_v4", head_dim=512, qk_rope_head_dim=64, rope_scaling=yarn, compress_rope_theta=16e4)
    compress, main = model.ropes["compress"], model.ropes["main"]
    assert tightrope.frequencies(compress).attention_factor == 1.0
    assert (compress.base, compress.side, compress.rotary_dim, main.base, main.scaling.rope_type) == (
        16e4,
        "tail",
        64,
        1e4,
        "default",
    )


def test_ernie_alternates_height_and_width_and_ends_with_time():
    # ERNIE 4.5 VL: mrope_section is [height, width, time], position axes are time, height, width.
    rope = read("ernie4_5_vl_moe_text", rope_scaling={"rope_type": "default", "mrope_section": [22, 22, 20]}).rope()
    assert rope.mrope.sections == (20, 22, 22)
    assert rope.mrope.pair_axes(64) == (1, 2) * 22 + (0,) * 20


def test_the_key_mrope_interleaved_decides_nothing_where_the_family_does():
    block = {"rope_type": "default", "mrope_section": [24, 20, 20], "mrope_interleaved": False}
    assert read("qwen3_vl_text", rope_scaling=block).rope().mrope.order == "interleaved"


def test_default_sections_are_cut_to_the_pairs():
    # Qwen3-Omni's talker: [24, 20, 20] over 32 pairs, each axis every third pair.
    model = read("qwen3_omni_moe_talker_text", hidden_size=1024, num_attention_heads=16)
    assert model.rope().mrope.pair_axes(32) == tuple(p % 3 for p in range(32))


class TestWithoutRotation:
    @pytest.mark.parametrize(
        ("model_type", "keys"),
        [
            ("jamba", {}),
            ("nemotron_h", {"partial_rotary_factor": 1.0}),
            ("kimi_linear", {"qk_rope_head_dim": 64}),
            ("gpt2", {}),
            ("t5", {}),
            ("falcon", {"alibi": True}),
            ("baichuan", {"hidden_size": 5120, "num_attention_heads": 40}),
            ("granitemoehybrid", {}),
            ("esm", {}),
            ("zamba2", {}),
            ("chatglm", {"position_encoding_2d": True}),
        ],
    )
    def test_there_is_no_rope_and_a_note_says_why(self, model_type, keys):
        model = read(model_type, **keys)
        assert (dict(model.ropes), set(model.layers)) == ({}, {None})
        assert any(note.startswith("no rotary positions: ") for note in model.notes)

    @pytest.mark.parametrize(
        ("model_type", "keys"),
        [
            ("falcon", {"alibi": False}),
            ("baichuan", {}),
            ("granitemoehybrid", {"position_embedding_type": "rope", "layer_types": ["attention"] * 8}),
            ("esm", {"position_embedding_type": "rotary"}),
            ("zamba2", {"use_mem_rope": True}),
        ],
    )
    def test_the_same_family_may_turn(self, model_type, keys):
        assert read(model_type, **keys).ropes


class TestTheTable:
    def test_no_family_stands_twice(self):
        assert not FAMILIES.keys() & ELSEWHERE.keys()

    def test_no_wrapper_hides_a_family(self):
        assert not set(WRAPPERS) & (FAMILIES.keys() | ELSEWHERE.keys())

    def test_no_wrapper_has_two_families(self):
        assert len(set(WRAPPERS)) == len(WRAPPERS)

    def test_a_wrapper_is_read_as_its_text_family(self):
        for family in FAMILIES.values():
            assert all(find_family(wrapper) is family for wrapper in family.wrappers)
