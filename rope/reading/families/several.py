"""What config.json does not say, one line a family: text models with several axes, several ropes, or layers without."""

from dataclasses import replace
from functools import partial

from tightrope.rope.reading.families import parts as part
from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.families.rules import attention_scale as scales
from tightrope.rope.reading.families.rules import layer_types as rule
from tightrope.rope.reading.families.rules import no_position as nope
from tightrope.rope.reading.families.rules import rewrites
from tightrope.rope.reading.families.rules.layer_types import LINEAR, SLIDING

_Ernie = partial(part.Pairs, mrope="spatial_first", sections=(22, 22, 20), section_order=(1, 2, 0))
_NeoMME = partial(Family, mrope="interleaved", sections=())
_Llama4 = partial(part.Pairs, query=scales.llama4, query_layers="without")
_Chunked = partial(Family, mrope="chunked", sections=(16, 24, 24))
_Glm4v = partial(Family, mrope="chunked", sections=(8, 12, 12))
_QwenVl3 = partial(Family, mrope="interleaved", sections=(24, 20, 20))
_Qwen35 = partial(Family, head_dim=256, mrope="interleaved", sections=(11, 11, 10))

# fmt: off
SEVERAL: dict[str, Family] = {
    # Several position axes.
    "cohere_compass_text": _QwenVl3(shape=(8192, 64, 40, 8192), wrappers=("cohere_compass",)),
    "cosmos3_edge_text": _QwenVl3(head_dim=128, base=1e8,
        null_base=("rope_theta",), shape=(2048, 16, 28, 131072), wrappers=("cosmos3_edge",)),
    "ernie4_5_vl_moe_text": _Ernie(base=500_000.0, shape=(2560, 20, 28, 131072),
        wrappers=("ernie4_5_vl_moe", "ernie4_5_moe_vl")),
    "glm4v_moe_text": _Glm4v(partial=0.5, shape=(4096, 96, 46, 65536), wrappers=("glm4v_moe",)),
    "glm4v_text": _Glm4v(layout="interleaved", partial=1.0, shape=(4096, 32, 40, 32768),
        wrappers=("glm4v", "glm46v", "glmga")),
    "glm_image_text": _Glm4v(partial=1.0, shape=(4096, 32, 40, 131072), wrappers=("glm_image",)),
    "glm_ocr_text": _Glm4v(layout="interleaved", partial=1.0, shape=(1024, 16, 16, 131072), wrappers=("glm_ocr",)),
    "hunyuan_vl_text": replace(part.HUNYUAN_VL, shape=(4096, 32, 32, 2048), wrappers=("hunyuan_vl",)),
    "hy_v4_vl_text": part.Mla(mla=(192, 64), mrope="interleaved", sections=(12, 10, 10), shape=(6144, 64, 78, 262144),
        wrappers=("hy_v4_vl",)),
    "neomme": _NeoMME(head_dim=64, partial=1.0, ropes=part.NEOMME, layers=part.GEMMA_6_LAST,
        null_base=("rope_theta",), shape=(1024, 16, 17, 16384)),
    "paddleocr_vl_text": _Chunked(head_dim=128, base=500_000.0, shape=(1024, 16, 18, 131072),
        wrappers=("paddleocr_vl",)),
    "qwen2_5_omni_talker": _Chunked(head_dim=128, base=1e6, shape=(3584, 28, 28, 32768)),
    "qwen2_5_omni_text": _Chunked(base=1e6, shape=(3584, 28, 28, 32768),
        wrappers=("qwen2_5_omni", "qwen2_5_omni_thinker")),
    "qwen2_5_vl_text": _Chunked(base=1e6, shape=(8192, 64, 80, 32768), wrappers=("qwen2_5_vl",)),
    "qwen2_vl_text": _Chunked(base=1e6, shape=(8192, 64, 80, 32768), wrappers=("qwen2_vl", "colqwen2")),
    "qwen3_5_moe_text": _Qwen35(partial=0.25, layers=part.HYBRID, shape=(2048, 16, 40, 32768),
        wrappers=("qwen3_5_moe",)),
    "qwen3_5_text": _Qwen35(partial=0.25, layers=part.HYBRID, shape=(4096, 16, 32, 32768),
        wrappers=("qwen3_5", "jev", "minicpm_ocr", "minicpmv4_6", "minicpmv4_7", "prism_hadamard_qwen35")),
    "qwen3_omni_moe_talker_text": _QwenVl3(fractional=True, shape=(1024, 16, 20, 32768),
        wrappers=("qwen3_omni_moe_talker",)),
    "qwen3_omni_moe_text": _QwenVl3(fractional=True, base=1e6, shape=(2048, 28, 28, 32768),
        wrappers=("qwen3_omni_moe", "qwen3_omni_moe_thinker")),
    "qwen3_vl_moe_text": _QwenVl3(head_dim=128, base=500_000.0, shape=(2048, 16, 24, 128000),
        wrappers=("qwen3_vl_moe",)),
    "qwen3_vl_text": _QwenVl3(head_dim=128, base=500_000.0, shape=(4096, 32, 32, 128000),
        wrappers=("qwen3_vl", "cosmos3_omni")),
    "qwen4_exp_text": _Qwen35(partial=1.0, layers=part.QWEN4, shape=(2048, 16, 40, 32768), wrappers=("qwen4_exp",)),

    # Several ropes in one model.
    "diffusion_gemma_text": replace(part.GEMMA4_FAMILY, shape=(2304, 8, 30, 131072), wrappers=("diffusion_gemma",)),
    "dory": Family(head_dim=256, ropes=part.DORY, layers=rule.full_every(4), rewrite=rewrites.attention_blocks,
        shape=(2560, 16, 36, 8192)),
    "embedding_gemma2_text": Family(head_dim=256, ropes=part.EMBEDDING_GEMMA2, layers=part.GEMMA_6_LAST,
        null_base=("rope_theta",), rewrite=rewrites.last_is_full, shape=(512, 4, 24, 262144),
        wrappers=("embedding_gemma2",)),
    "gemma3_text": Family(head_dim=256, ropes=part.GLOBAL_LOCAL, layers=part.GEMMA_6, shape=(2304, 8, 26, 131072),
        wrappers=("gemma3", "shieldgemma2")),
    "gemma3n_text": Family(head_dim=256, ropes=part.GLOBAL_LOCAL, layers=rule.full_every(5), shape=(2048, 8, 35, 32768),
        wrappers=("gemma3n",)),
    "gemma4_text": replace(part.GEMMA4_FAMILY, shape=(2304, 8, 30, 131072), wrappers=("gemma4",)),
    "gemma4_unified_text": replace(part.GEMMA4_FAMILY, shape=(2304, 8, 30, 262144),
        wrappers=("gemma4_unified", "gemma4_unified_assistant")),
    "granite_swa": Family(rewrite=rewrites.base_a_layer, no_position=nope.zero_bases(), shape=(2560, 20, 24, 8192)),
    "granitemoe_swa": Family(rewrite=rewrites.base_a_layer, no_position=nope.zero_bases(), shape=(4096, 32, 32, 2048)),
    "laguna": Family(head_dim=128, partial=1.0, ropes=part.LAGUNA,
        null_base=("rope_theta",), shape=(2048, 48, 40, 131072)),
    "lfm3": Family(head_dim=128, partial=1.0, ropes=part.LFM3, layers=rule.lfm3,
        null_base=("rope_theta",), shape=(2048, 16, 24, 128000),
        wrappers=("lfm3_vl",)),
    "mellum": Family(head_dim=128, partial=1.0, ropes=part.MELLUM,
        null_base=("rope_theta",), shape=(2304, 32, 28, 131072)),
    "mimo_v2": part.MIMO_V2_FAMILY,
    "mimo_v2_flash": replace(part.MIMO_V2_FAMILY, shape=(4096, 64, 48, 131072)),
    "modernbert": Family(ropes=part.MODERNBERT, layers=part.MODERNBERT_3, shape=(768, 12, 22, 8192),
        wrappers=("colmodernvbert", "modernvbert")),
    "modernbert-decoder": Family(ropes=part.MODERNBERT, layers=part.MODERNBERT_3, shape=(768, 12, 22, 8192)),
    "molmo2_text": Family(head_dim=128, rewrite=rewrites.scaled_layers, shape=(4096, 32, 36, 36864),
        wrappers=("molmo2",)),
    "olmo3": Family(ropes=part.OLMO3, layers=rule.full_every(4), shape=(4096, 32, 32, 2048)),
    "step3p5": Family(head_dim=128, partial=1.0, rewrite=rewrites.lists_a_layer, shape=(4096, 64, 45, 128000),
        wrappers=("step3p7",)),
    "t5gemma2_decoder": Family(head_dim=256, ropes=part.GLOBAL_LOCAL, layers=part.GEMMA_6, shape=(2304, 8, 26, 131072),
        wrappers=("t5gemma2",)),
    "t5gemma2_text": Family(head_dim=256, ropes=part.GLOBAL_LOCAL, layers=part.GEMMA_6, shape=(2304, 8, 26, 131072),
        wrappers=("t5gemma2_encoder",)),
    "ultrabert": replace(part.ULTRABERT_FAMILY, shape=(4096, 32, 32, 32768), wrappers=("ultravbert",)),
    "zaya": Family(head_dim=128, partial=1.0, ropes=part.ZAYA, layers=part.ALL_HYBRID,
        null_base=("rope_theta",), shape=(2048, 8, 40, 131072)),

    # Layers without position.
    "afmoe": Family(head_dim=128, layers=part.AFMOE, no_position=nope.only(SLIDING), shape=(2048, 16, 32, 16384)),
    "bamba": Family(partial=0.5, partial_keys=(), layers=part.BAMBA, shape=(4096, 32, 32, 262144)),
    "beam": Family(head_dim=128, ropes=part.BEAM, layers=part.GEMMA_6_LAST, query=scales.beam, query_layers="without",
        null_base=("rope_theta",), shape=(5120, 48, 52, 8192)),
    "cohere2": part.Pairs(layers=part.WINDOW_4, no_position=part.NO_WINDOW_NONE, shape=(8192, 64, 40, 8192),
        wrappers=("aya_vision", "cohere2_vision")),
    "cohere2_moe": part.Pairs(head_dim=128, layers=rule.cohere2_moe, no_position=nope.cohere2_moe_positions,
        shape=(8192, 64, 40, 8192)),
    "exaone4": Family(layers=part.WINDOW_4, no_position=part.NO_WINDOW_ALL, shape=(4096, 32, 32, 2048),
        wrappers=("exaone4_5", "exaone4_5_text")),
    "exaone_moe": Family(layers=part.WINDOW_4, no_position=part.NO_WINDOW_ALL, shape=(4096, 32, 32, 2048)),
    "flint": Family(head_dim=128, layers=rule.flint, no_position=part.NO_WINDOW_NONE, shape=(2048, 32, 49, 262144)),
    "kolibri1": Family(head_dim=128, layers=rule.full_every(5), no_position=part.NO_WINDOW_ALL,
        shape=(2560, 48, 50, 262144)),
    "lara_mini": Family(head_dim=128, layers=part.LARA_MINI, no_position=nope.only(SLIDING),
        shape=(1024, 16, 34, 131072)),
    "lfm2": Family(base=1e6, layers=part.LFM2, shape=(2560, 32, 32, 128000), wrappers=("lfm2_vl", "lfm2-vl")),
    "lfm2_moe": Family(base=1e6, layers=part.LFM2, shape=(2048, 32, 32, 128000)),
    "llama4_text": _Llama4(head_dim=128, base=500_000.0, no_position=part.NOPE_4, shape=(5120, 40, 48, 131072),
        wrappers=("llama4",)),
    "minimax": part.RotaryDim(base=1e6, layers=part.MINIMAX, shape=(4096, 32, 32, 131072)),
    "muse_glimmer_text": Family(head_dim=128, no_position=part.MUSE, shape=(6656, 32, 52, 131072),
        wrappers=("muse_glimmer",)),
    "muse_spark_text": Family(head_dim=64, base=500_000.0, no_position=part.MUSE, reads_v4=False,
        null_base=("rope_theta",), shape=(8192, 128, 62, 1048576), wrappers=("muse_spark",)),
    "olmo_hybrid": Family(without=nope.null_base, layers=rule.full_every(4, other=LINEAR), shape=(3840, 30, 32, 65536)),
    "qwen3_next": Family(head_dim=256, partial=0.25, layers=part.HYBRID, shape=(2048, 16, 48, 32768)),
    "recurrent_gemma": Family(partial=0.5, layers=part.RECURRENT, shape=(2560, 10, 26, None)),
    "smollm3": Family(base=2e6, no_position=part.NOPE_4, shape=(2048, 16, 36, 32768)),

    # No rotation, or only where the configuration asks for it.
    "esm": Family(without=part.ESM, shape=(768, 12, 12, 1026)),
    "falcon": Family(without=part.ALIBI, shape=(4544, 71, 32, 2048)),
    "glm5_next_text": Family(without=part.NO_ROTATION, shape=(4096, 64, 45, 1048576), wrappers=("glm5_next",)),
    "granitemoehybrid": Family(without=part.GRANITE_HYBRID, layers=part.ALL_LINEAR, shape=(4096, 32, 32, 2048)),
    "jamba": Family(without=part.NO_ROTATION, shape=(4096, 32, 32, 262144)),
    "kimi_linear": Family(without=part.NO_ROTATION, shape=(2304, 32, 27, None)),
    "moshi_depth": Family(without=part.DEPTH_DECODER, shape=(1024, 16, 6, 9)),
    "nemotron_h": Family(without=part.NO_ROTATION, shape=(4096, 32, None, 4096),
        wrappers=("nemo_speechlm", "nemotron_h_omni")),
    "zamba2": replace(part.ZAMBA2, shape=(2560, 32, 54, 4096)),
}
