"""Vision towers as they are read: which axis rotates which pair, how fast, and where a file keeps its tower."""

import numpy as np
import pytest

import tightrope
from tightrope import MRope, RopeConfig, RopeConfigError
from tightrope.rope.reading.families.towers import TOWERS
from tightrope.rope.scaling.dynamic import Dynamic

AXIAL = [name for name, family in TOWERS.items() if family.axes is not None]
SHAPE = {"hidden_size": 96, "num_attention_heads": 4, "num_hidden_layers": 2, "rope_theta": 1e4}


def read(model_type, **keys):
    return tightrope.read({"model_type": model_type, **SHAPE, **keys})


def turns(model_type, **keys):
    """Return (axis, exponent) per pair of a head of 24 channels: inv_freq is the base to the power of −exponent."""
    rope = read(model_type, **keys).rope()
    exponents = -np.log(tightrope.frequencies(rope).inv_freq) / np.log(rope.base)
    return list(zip(rope.mrope.pair_axes(rope.pairs), np.round(exponents, 6), strict=True))


# Half of the 12 pairs an axis, each with base ** (-2 j / 12), j < 6.
OWN = [round(j / 6, 6) for j in range(6)]
BY_FAMILY = {
    # freqs of height, then of width (qwen2_vl, SAM, Gemma 4: repeated or interleaved, which is the layout's affair)
    "qwen2_5_vl_vision": [(0, e) for e in OWN] + [(1, e) for e in OWN],
    "sam3_vit_model": [(0, e) for e in OWN] + [(1, e) for e in OWN],
    "gemma4_vision": [(0, e) for e in OWN] + [(1, e) for e in OWN],
    # width, then height
    "step3p5_vision": [(1, e) for e in OWN] + [(0, e) for e in OWN],
    "inkling2_vision": [(1, e) for e in OWN] + [(0, e) for e in OWN],
    # width and height in turn (MoonViT)
    "kimi_k25_vision": [(axis, e) for e in OWN for axis in (1, 0)],
    # one progression over the head, even frequencies for height and odd ones for width (Mistral's Pixtral)
    "pixtral": [(axis, round((2 * j + axis) / 12, 6)) for axis in (0, 1) for j in range(6)],
    # time, height, width: a third each
    "minimax_m3_vl_vision": [(axis, round(j / 4, 6)) for axis in range(3) for j in range(4)],
}


@pytest.mark.parametrize("family", BY_FAMILY)
def test_each_pair_has_its_axis_and_its_frequency(family):
    assert turns(family) == BY_FAMILY[family]


LAYOUTS = {
    "half": "qwen3_vl_vision glm4v_vision pixtral kimi_k25_vision dinov3_vit",
    "interleaved": "llama4_vision_model sam3_vit_model inkling2_vision",
    "halves": "gemma4_vision",
}


@pytest.mark.parametrize(
    ("family", "layout"), [(family, layout) for layout in LAYOUTS for family in LAYOUTS[layout].split()]
)
def test_channels_pair_up_as_in_the_family(family, layout):
    assert read(family).rope().layout == layout


def test_a_third_that_cannot_be_shared_does_not_turn():
    assert read("minimax_m3_vl_vision", hidden_size=320).rope().rotary_dim == 78  # head_dim 80


def test_a_head_that_two_axes_cannot_share_is_refused():
    with pytest.raises(RopeConfigError, match="a head shared by 2 axes must have a multiple of 4 channels, got 6"):
        read("qwen3_vl_vision", hidden_size=24)


WIDTHS = {
    "qwen2_vl_vision": ({"embed_dim": 320, "num_heads": 4}, 80),
    "sam2_video": ({"memory_attention_hidden_size": 256, "memory_attention_num_attention_heads": 2}, 128),
    "sam3_tracker_video": ({"memory_attention_hidden_size": 256, "memory_attention_downsample_rate": 4}, 64),
    "efficientloftr": ({"hidden_size": 256, "num_attention_heads": 8}, 256),
}


@pytest.mark.parametrize("family", WIDTHS)
def test_a_head_is_as_wide_as_the_familys_own_words_say(family):
    keys, width = WIDTHS[family]
    assert read(family, **keys).rope().head_dim == width


@pytest.mark.parametrize("name", ["axial", "default", None])
def test_the_rope_type_of_a_tower_has_three_spellings(name):
    written = {"rope_parameters": {"rope_type": name, "rope_theta": 1e4}}
    assert read("glm4v_vision", **written).rope() == read("glm4v_vision").rope()


@pytest.mark.parametrize("family", AXIAL)
def test_a_tower_can_be_written_and_read_back(family):
    model = read(family)
    written = model.to_hf()
    assert tightrope.read(written).ropes == model.ropes
    assert not {"mrope_section", "mrope_interleaved"} & written["rope_parameters"].keys()


def test_a_rope_type_that_axes_cannot_have_is_refused():
    block = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    with pytest.raises(RopeConfigError, match="own frequencies must be one of 'default', 'linear', got 'dynamic'"):
        read("glm4v_vision", rope_parameters=block, max_position_embeddings=64)


VISION = {"depth": 3, "hidden_size": 64, "num_heads": 2, "patch_size": 14}
TEXT = {"hidden_size": 512, "num_attention_heads": 4, "num_hidden_layers": 2, "rope_theta": 1e6}


class TestWhereAFileKeepsItsTower:
    @pytest.mark.parametrize("named", [{}, {"model_type": "qwen3_vl"}, {"model_type": "qwen3_vl_vision"}])
    def test_by_the_models_name(self, named):
        whole = {"model_type": "qwen3_vl", "text_config": TEXT, "vision_config": {**VISION, **named}}
        model = tightrope.read(whole, tower="vision")
        assert (model.model_type, len(model.layers), model.rope().axes) == ("qwen3_vl_vision", 3, 2)

    def test_text_is_read_where_no_tower_is_asked_for(self):
        whole = {"model_type": "qwen2_vl", "text_config": TEXT, "vision_config": VISION}
        assert tightrope.read(whole).rope().base == 1e6

    def test_within_the_part_that_thinks(self):
        thinker = {"model_type": "qwen2_5_omni_thinker", "vision_config": VISION}
        model = tightrope.read({"model_type": "qwen2_5_omni", "thinker_config": thinker}, tower="vision")
        assert model.model_type == "qwen2_5_omni_vision_encoder"

    def test_in_the_innermost_part_that_is_one(self):
        vision = {"model_type": "sam3_vision_model", "backbone_config": {"model_type": "sam3_vit_model"}}
        assert tightrope.read({"model_type": "sam3", "vision_config": vision}, tower="vision").rope().fractional

    def test_the_whole_is_not_taken_for_its_part(self):
        # SAM 2 turns in its memory attention, which its own configuration describes; its backbone has no rope.
        whole = {"model_type": "sam2_video", "vision_config": {"model_type": "hiera", "hidden_size": 96}}
        with pytest.raises(RopeConfigError, match=r"vision_config\.model_type 'hiera' is no vision tower"):
            tightrope.read(whole, tower="vision")

    def test_a_tower_that_is_known_to_have_no_rope_has_none(self):
        siglip = {"model_type": "siglip_vision_model", "num_hidden_layers": 2}
        model = tightrope.read({"model_type": "gemma3", "vision_config": siglip}, tower="vision")
        assert (dict(model.ropes), model.layers) == ({}, (None, None))

    def test_a_tower_of_sound(self):
        sound = {"model_type": "glmasr_encoder", "hidden_size": 64, "num_attention_heads": 2, "num_hidden_layers": 3}
        model = tightrope.read({"model_type": "glmasr", "audio_config": sound}, tower="audio")
        assert (model.rope().rotary_dim, model.layers) == (16, ("default",) * 3)

    def test_a_vision_config_alone_that_bears_its_models_name_is_a_tower(self):
        model = tightrope.read({"model_type": "qwen3_vl", **VISION})
        assert model.model_type == "qwen3_vl_vision"
        assert "a vision_config that bears its model's model_type 'qwen3_vl'" in model.notes[0]

    def test_what_its_class_fills_in_is_filled_in(self):
        model = tightrope.read({"model_type": "qwen3_vl", "text_config": {}, "vision_config": {}}, tower="vision")
        assert (model.rope().head_dim, len(model.layers)) == (72, 27)

    @pytest.mark.parametrize(
        ("source", "tower", "text"),
        [
            ({"model_type": "llama"}, "vision", "no vision tower: model_type 'llama' is none, and it has none of"),
            ({"model_type": "llama"}, "touch", "tower must be one of 'vision', 'audio', got 'touch'"),
            (
                {"model_type": "mllama", "vision_config": {"model_type": "mllama_vision_model"}},
                "vision",
                "vision_config.model_type 'mllama_vision_model' is no vision tower with rotary positions that is known",
            ),
            ("model.gguf", "vision", "tower needs a config.json; a GGUF file is read for its text"),
        ],
    )
    def test_where_there_is_none_it_is_said(self, source, tower, text):
        with pytest.raises(RopeConfigError) as caught:
            tightrope.read(source, tower=tower)
        assert text in str(caught.value)


# (layers, head_dim, base, layout, progression), by the vision_config of the file and the tower's code.
PUBLISHED = {
    "exaone-4.5-33b": (28, 64, 1e4, "half", "own"),
    "gemma-4-26b-a4b": (27, 72, 100.0, "halves", "own"),
    "gemma-4-e2b-it": (16, 64, 100.0, "halves", "own"),
    "llama-4-scout": (34, 88, 1e4, "interleaved", "own"),
    "ministral-3-8b": (24, 64, 1e4, "half", "dealt"),
    "qwen2.5-vl-7b": (32, 80, 1e4, "half", "own"),
    "qwen3-vl-30b-a3b": (27, 72, 1e4, "half", "own"),
    "qwen3-vl-4b": (24, 64, 1e4, "half", "own"),
    "qwen3.5-27b": (27, 72, 1e4, "half", "own"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_towers_of_published_models_are_read(shared, name):
    model = tightrope.read(shared / "configs" / f"{name}.json", tower="vision")
    rope = model.rope()
    found = (len(model.layers), rope.head_dim, rope.base, rope.layout, rope.mrope.progression)
    assert found == PUBLISHED[name]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"layout": "halves", "head_dim": 20}, "rotary_dim in layout 'halves' must be head_dim, and a multiple of 4"),
        ({"layout": "halves", "head_dim": 18, "rotary_dim": 18}, "and a multiple of 4, got 18 of 18"),
        ({"fractional": 1.5}, "fractional must be one of True, False, got 1.5"),
        (
            {"fractional": True, "scaling": Dynamic(factor=2.0), "max_position_embeddings": 64},
            "rope_type of fractional positions must not follow the length, got 'dynamic'",
        ),
    ],
)
def test_a_rope_that_cannot_be_right_is_refused(changes, text):
    with pytest.raises(RopeConfigError) as caught:
        RopeConfig(**{"head_dim": 16, "rotary_dim": 16, "base": 100.0, "layout": "half", **changes})
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"progression": "each"}, "progression must be one of 'shared', 'own', 'dealt', got 'each'"),
        ({"progression": "dealt", "sections": (1, 2)}, "'dealt' needs sections that are all alike, got [1, 2]"),
        ({"order": "backwards"}, "mrope order must be one of 'chunked', 'interleaved'"),
    ],
)
def test_axes_that_cannot_be_right_are_refused(changes, text):
    with pytest.raises(RopeConfigError) as caught:
        MRope(**{"sections": (2, 2), **changes})
    assert text in str(caught.value)
