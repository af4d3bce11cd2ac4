"""Families of remote code, of mlx-lm and of native checkpoints, by their own modeling files."""

import numpy as np
import pytest

import tightrope
from tightrope.rope.config.query_scale import QueryScale
from tightrope.rope.scaling.ntk import Ntk

SHAPE = {"hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 8, "max_position_embeddings": 8192}


def read(model_type, **keys):
    """Read a configuration of this family; a key of None is left out of it."""
    config = {"model_type": model_type, **SHAPE, "rope_theta": 1e4, **keys}
    return tightrope.read({key: value for key, value in config.items() if value is not None})


class TestElsewhere:
    """Families of remote code and of mlx-lm, by their own modeling files."""

    def test_chatglm_multiplies_its_base(self):
        rope = read("chatglm", kv_channels=128, rope_ratio=500, rope_theta=None).rope()
        assert (rope.base, rope.rotary_dim, rope.layout) == (5e6, 64, "interleaved")

    def test_hunyuans_alpha_is_a_static_base(self):
        rope = read("hunyuan", rope_scaling={"type": "dynamic", "alpha": 1000.0, "factor": 1.0}).rope()
        got = tightrope.frequencies(rope).inv_freq
        np.testing.assert_allclose(got, (1e4 * 1000.0 ** (128 / 126)) ** -(np.arange(64) / 64), rtol=1e-13)

    @pytest.mark.parametrize("name", ["xdrope_section", "mrope_section"])
    def test_hunyuan_vls_sections_are_chunks_of_the_pairs(self, name):
        """Tencent's files repeat the list of sections: 16 pairs for each of position, width, height and picture."""
        block = {"type": "xdrope", "alpha": 1000.0, name: [16, 16, 16, 16]}
        rope = read("hunyuan_vl_text", rope_scaling=block).rope()
        assert rope.mrope.pair_axes(64) == (0,) * 16 + (1,) * 16 + (2,) * 16 + (3,) * 16
        assert rope.scaling == Ntk(factor=1000.0)

    def test_hunyuan_vls_sections_under_both_names_must_be_alike(self):
        block = {"type": "xdrope", "alpha": 1000.0, "xdrope_section": [16] * 4, "mrope_section": [32, 16, 16]}
        with pytest.raises(tightrope.RopeConfigError, match="rope_scaling has xdrope_section and another"):
            read("hunyuan_vl_text", rope_scaling=block)

    def test_without_alpha_it_is_dynamic(self):
        assert read("hunyuan", rope_scaling={"type": "dynamic", "factor": 2.0}).rope().scaling.rope_type == "dynamic"

    @pytest.mark.parametrize(
        ("model_type", "keys", "expected"),
        [
            ("openelm", {"rope_freq_constant": 25_000.0, "head_dim": 64, "rope_theta": None}, (25_000.0, 64, "half")),
            ("afm7", {"hidden_dim": 2048, "hidden_size": None, "num_attention_heads": 16}, (1e4, 128, "interleaved")),
            ("lille-130m", {}, (1e4, 128, "interleaved")),
            ("plamo2", {"hidden_size_per_head": 128, "rope_theta": None}, (1e4, 128, "half")),
            ("qwen", {"rotary_emb_base": 2e4, "rope_theta": None, "kv_channels": 64}, (2e4, 64, "half")),
            ("phi3small", {"rope_embedding_base": 1e6, "rope_theta": None}, (1e6, 128, "half")),
            ("minimax_text_01", {"rotary_dim": 64, "rope_theta": 1e7, "head_dim": 128}, (1e7, 64, "half")),
            ("phixtral", {"rope_theta": None}, (1e4, 32, "half")),
            ("telechat3", {}, (1e4, 128, "half")),
            ("iquestloopcoder", {"rope_theta": None}, (5e5, 128, "half")),
            ("youtu_llm", {"rope_theta": None}, (1.6e6, 64, "interleaved")),
        ],
    )
    def test_own_keys_and_defaults(self, model_type, keys, expected):
        rope = read(model_type, **keys).rope()
        assert (rope.base, rope.rotary_dim, rope.layout) == expected

    def test_phi3small_scales_its_positions(self):
        rope = read("phi3small", rope_position_scale=0.25).rope()
        assert (rope.scaling.rope_type, rope.scaling.factor) == ("linear", 4.0)

    def test_talkie_turns_the_other_way(self):
        assert read("talkie", head_dim=128).rope().direction == -1

    @pytest.mark.parametrize("alias", ["deepseek_yarn", "telechat3-yarn"])
    def test_yarn_by_other_names(self, alias):
        yarn = {"type": alias, "factor": 4.0, "original_max_position_embeddings": 2048}
        assert read("telechat3", rope_scaling=yarn).rope().scaling.rope_type == "yarn"

    def test_plamo3_has_a_local_base(self):
        model = read("plamo3", head_dim=128, rope_theta=1e6, rope_local_theta=5e3)
        assert model.layers == ("sliding_attention",) * 7 + ("full_attention",)
        assert model.ropes["sliding_attention"].base == 5e3


META = {"dim": 4096, "n_heads": 32, "n_layers": 32, "multiple_of": 1024, "rope_theta": 500000.0}
MISTRAL = {"dim": 4096, "n_heads": 32, "n_layers": 32, "head_dim": 128}


class TestNativeCheckpoints:
    """params.json: Meta's and Mistral's own weights pair neighbouring channels."""

    def test_meta(self):
        rope = tightrope.read(META).rope()
        assert (rope.head_dim, rope.base, rope.layout, rope.scaling.rope_type) == (128, 5e5, "interleaved", "default")

    def test_metas_scaling_is_a_flag(self):
        scaling = tightrope.read({**META, "use_scaled_rope": True}).rope().scaling
        assert (scaling.factor, scaling.low_freq_factor, scaling.high_freq_factor) == (8.0, 1.0, 4.0)
        assert scaling.original_max_position_embeddings == 8192

    @pytest.mark.parametrize(("keys", "base"), [({}, 1e6), ({"sliding_window": 4096}, 1e4), ({"rope_theta": 5e5}, 5e5)])
    def test_mistrals_base(self, keys, base):
        assert tightrope.read({**MISTRAL, **keys}).rope().base == base

    def test_mistrals_yarn(self):
        yarn = {"factor": 16, "original_max_position_embeddings": 16384, "apply_scale": False, "beta": 32, "alpha": 1}
        model = tightrope.read({**MISTRAL, "yarn": yarn, "llama_4_scaling": {"beta": 0.1}}, strict=True)
        assert (model.rope().scaling.beta_fast, model.rope().scaling.beta_slow) == (32, 1)
        assert tightrope.frequencies(model.rope()).attention_factor == 1.0
        assert model.query_scales["default"] == QueryScale(beta=0.1, length=16384)

    def test_a_folder_may_hold_params_json_alone(self, tmp_path):
        (tmp_path / "params.json").write_text('{"dim": 512, "n_heads": 8, "n_layers": 2, "multiple_of": 32}', "utf-8")
        assert tightrope.read(tmp_path).rope().head_dim == 64
