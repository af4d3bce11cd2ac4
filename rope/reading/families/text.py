"""What config.json does not say, one line a family: the text models of transformers.

Each line holds what differs from the defaults of `Family`, as the family's configuration class and attention code say.
"""

from functools import partial

from tightrope.rope.reading.families import parts as part
from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.families.rules import attention_scale as scales
from tightrope.rope.reading.families.rules import layer_types as rule
from tightrope.rope.reading.families.rules import no_position as nope
from tightrope.rope.reading.families.rules import rewrites
from tightrope.rope.reading.families.rules.layer_types import LINEAR, SLIDING

_Mistral4 = partial(part.MlaChoice, block_keys=("llama_4_scaling_beta",), query=scales.ministral)
_Ernie = partial(part.Pairs, mrope="spatial_first", sections=(22, 22, 20), section_order=(1, 2, 0))
_NeoMME = partial(Family, mrope="interleaved", sections=())
_Llama4 = partial(part.Pairs, query=scales.llama4, query_layers="without")
_NeoX = partial(
    Family, base_keys=("rotary_emb_base", "rope_theta"), partial_keys=("rotary_pct", "partial_rotary_factor")
)
_Hunyuan = partial(Family, alpha=True, head_dim_keys=("head_dim", "attention_head_dim"))
_Chunked = partial(Family, mrope="chunked", sections=(16, 24, 24))
_Glm4v = partial(Family, mrope="chunked", sections=(8, 12, 12))
_QwenVl3 = partial(Family, mrope="interleaved", sections=(24, 20, 20))
_Qwen35 = partial(Family, head_dim=256, mrope="interleaved", sections=(11, 11, 10))

_PLAIN = """
    arcee aria_text chameleon deepseek_ocr2_text diffllama doge dots1 esmc eurobert falcon_h1 gradium_phonon_tts
    granite granite4_vision_text granite_docling_text granitemoe granitemoeshared hyperclovax idefics jais2
    kyutai_speech_to_text llama ministral mistral moshi olmo olmo2 olmoe pocket_tts qwen2 qwen2_moe qwen3_moe
    starcoder2 unlimited_ocr_text voxtral_realtime_text
"""

# fmt: off
FAMILIES: dict[str, Family] = {
    # Whole heads, pairs half a head apart.
    **dict.fromkeys(_PLAIN.split(), Family()),
    "apertus": Family(base=1.2e7, block=part.LLAMA3_8),
    "apertus1p5_text": Family(base=1.2e7, block=part.LLAMA3_8),
    "bitnet": Family(base=500_000.0),
    "csm": Family(base=500_000.0),
    "csm_depth_decoder_model": Family(base=500_000.0),
    "cwm": Family(head_dim=128, base=1e6, block=part.LLAMA3_16),
    "dbrx": Family(base_keys=("attn_config.rope_theta", "rope_theta")),
    "dia_decoder": Family(head_dim=128),
    "dia_encoder": Family(head_dim=128),
    "emu3_text_model": Family(base=1e6),
    "evolla": Family(base=500_000.0),
    "exaone": Family(base=500_000.0),
    "flex_olmo": Family(base=500_000.0),
    "gemma": Family(head_dim=256),
    "gemma2": Family(head_dim=256),
    "gpt_oss": Family(head_dim=64, base=150_000.0, block=part.GPT_OSS_YARN),
    "gte": Family(base=160_000.0),
    "higgs_audio_v2": Family(head_dim=128, base=500_000.0, block=part.HIGGS_LLAMA3),
    "hrm_text": Family(head_dim=128),
    "hunyuan_v1_dense": _Hunyuan(),
    "hunyuan_v1_moe": _Hunyuan(),
    "hy_v3": Family(head_dim=128, base=11_158_840.0),
    "internlm3": Family(head_dim=128),
    "iquestcoder": Family(head_dim=128),
    "jetmoe": Family(head_dim=128, head_dim_keys=("kv_channels", "head_dim")),
    "jina_embeddings_v3": Family(base=20_000.0, base_keys=("rope_theta", "rotary_emb_base")),
    "ministral3": part.Temperature(head_dim=128, base=1e6, block=part.MINISTRAL3_YARN),
    "mixtral": Family(base=1e6),
    "mllama_text_model": Family(base=500_000.0, no_position=part.CROSS_ATTENTION),
    "muse_glimmer_assistant": Family(head_dim=128, base=500_000.0),
    "nanochat": Family(direction=-1),
    "phimoe": Family(base=1e6),
    "qwen3": Family(head_dim=128),
    "qwen3_omni_moe_talker_code_predictor": Family(head_dim=128),
    "sarvam_moe": Family(head_dim=64, base=8e6, partial=1.0),
    "seed_oss": Family(head_dim=128),
    "t5_gemma_module": Family(head_dim=256),
    "vaultgemma": Family(head_dim=256),

    # A part of the head.
    "glm4_moe": Family(partial=0.5),
    "gpt_neox": _NeoX(partial=0.25),
    "gpt_neox_japanese": _NeoX(partial=1.0, rounds_up=False),
    "minimax_m2": part.RotaryDim(head_dim=128, base=5e6),
    "minimax_m3_vl_text": Family(head_dim=128, base=5e6, partial=1.0, decoys=("rotary_dim",)),
    "nemotron": Family(partial=0.5),
    "persimmon": Family(partial=0.5, rounds_up=False),
    "phi": Family(partial=0.5, rounds_up=False),
    "phi3": Family(partial=1.0, type_aliases={"yarn": "longrope"}),
    "phi4_multimodal": Family(partial=1.0, type_aliases={"yarn": "longrope"}),
    "solar_open": Family(head_dim=128, base=1e6, partial=1.0),
    "stablelm": Family(partial=0.25, rounds_up=False, partial_keys=("partial_rotary_factor", "rope_pct")),

    # Neighbouring channels pair up.
    "blt_global_transformer": part.Pairs(base=500_000.0),
    "blt_local_decoder": part.Pairs(base=500_000.0),
    "blt_local_encoder": part.Pairs(base=500_000.0),
    "blt_patcher": part.Pairs(),
    "codegen": part.Pairs(rotary_dim=64, rotary_dim_keys=("rotary_dim",)),
    "cohere": part.Pairs(base=500_000.0),
    "ernie4_5": part.Pairs(head_dim=128, base=500_000.0),
    "ernie4_5_moe": part.Pairs(base=500_000.0),
    "glm": part.Pairs(partial=0.5, head_dim=128),
    "glm4": part.Pairs(partial=0.5, head_dim=128),
    "gptj": part.Pairs(rotary_dim=64, rotary_dim_keys=("rotary_dim",)),
    "helium": part.Pairs(base=100_000.0, head_dim=128),
    "nomic_bert": part.NOMIC_BERT,
    "openai_privacy_filter": part.Pairs(head_dim=64, base=150_000.0, block=part.GPT_OSS_YARN),
    "roformer": part.Pairs(),

    # Multi-head latent attention: the last channels turn.
    "axk1": part.MlaChoice(mla=(128, 64)),
    "axk2": part.Mla(mla=(64, 32)),
    "bailing_hybrid": part.Mla(mla=(128, 64), base=6e6, layers=part.BAILING),
    "deepseek_v2": part.Mla(mla=(128, 64)),
    "deepseek_v3": part.MlaChoice(mla=(128, 64)),
    "deepseek_v32": part.Mla(mla=(128, 64), note=part.INDEXER_NOTE),
    "deepseek_v4": part.DEEPSEEK_V4_FAMILY,
    "dots3_note_text": part.Pairs(mla=(128, 64), ropes=part.DOTS3, layers=rule.dots3),
    "glm4_moe_lite": part.MlaChoice(mla=(192, 64)),
    "glm_moe_dsa": part.Mla(mla=(192, 64), decoys=("indexer_rope_interleave",)),
    "hy_v4": Family(mla=(192, 64), softmax=True),
    "longcat_flash": part.Mla(mla=(128, 64), base=1e7, layers_factor=("num_layers", 2)),
    "minicpm3": Family(mla=(64, 32), softmax=True),
    "mistral4": _Mistral4(mla=(64, 64), block=part.MISTRAL4_YARN),
    "mistral_large4_text": part.MISTRAL_LARGE4,
    "sarvam_mla": part.MlaChoice(mla=(128, 64), type_aliases={"deepseek_yarn": "yarn"}),
    "youtu": part.MlaChoice(mla=(128, 64)),

    # Several position axes.
    "cohere_compass_text": _QwenVl3(),
    "cosmos3_edge_text": _QwenVl3(head_dim=128, base=1e8),
    "ernie4_5_vl_moe_text": _Ernie(base=500_000.0),
    "glm4v_moe_text": _Glm4v(partial=0.5),
    "glm4v_text": _Glm4v(layout="interleaved", partial=1.0),
    "glm_image_text": _Glm4v(partial=1.0),
    "glm_ocr_text": _Glm4v(layout="interleaved", partial=1.0),
    "hunyuan_vl_text": part.HUNYUAN_VL,
    "hy_v4_vl_text": part.Mla(mla=(192, 64), mrope="interleaved", sections=(12, 10, 10)),
    "neomme": _NeoMME(head_dim=64, partial=1.0, ropes=part.NEOMME, layers=part.GEMMA_6_LAST),
    "paddleocr_vl_text": _Chunked(head_dim=128, base=500_000.0),
    "qwen2_5_omni_talker": _Chunked(head_dim=128, base=1e6),
    "qwen2_5_omni_text": _Chunked(base=1e6),
    "qwen2_5_vl_text": _Chunked(base=1e6),
    "qwen2_vl_text": _Chunked(base=1e6),
    "qwen3_5_moe_text": _Qwen35(partial=0.25, layers=part.HYBRID),
    "qwen3_5_text": _Qwen35(partial=0.25, layers=part.HYBRID),
    "qwen3_omni_moe_talker_text": _QwenVl3(),
    "qwen3_omni_moe_text": _QwenVl3(base=1e6),
    "qwen3_vl_moe_text": _QwenVl3(head_dim=128, base=500_000.0),
    "qwen3_vl_text": _QwenVl3(head_dim=128, base=500_000.0),
    "qwen4_exp_text": _Qwen35(partial=1.0, layers=part.QWEN4),

    # Several ropes in one model.
    "diffusion_gemma_text": part.GEMMA4_FAMILY,
    "dory": Family(head_dim=256, ropes=part.DORY, layers=rule.full_every(4), rewrite=rewrites.attention_blocks),
    "embedding_gemma2_text": Family(head_dim=256, ropes=part.EMBEDDING_GEMMA2, layers=part.GEMMA_6_LAST),
    "gemma3_text": Family(head_dim=256, ropes=part.GLOBAL_LOCAL, layers=part.GEMMA_6),
    "gemma3n_text": Family(head_dim=256, ropes=part.GLOBAL_LOCAL, layers=rule.full_every(5)),
    "gemma4_text": part.GEMMA4_FAMILY,
    "gemma4_unified_text": part.GEMMA4_FAMILY,
    "granite_swa": Family(rewrite=rewrites.base_a_layer, no_position=nope.zero_bases()),
    "granitemoe_swa": Family(rewrite=rewrites.base_a_layer, no_position=nope.zero_bases()),
    "laguna": Family(head_dim=128, partial=1.0, ropes=part.LAGUNA),
    "lfm3": Family(head_dim=128, partial=1.0, ropes=part.LFM3, layers=rule.lfm3),
    "mellum": Family(head_dim=128, partial=1.0, ropes=part.MELLUM),
    "mimo_v2": part.MIMO_V2_FAMILY,
    "mimo_v2_flash": part.MIMO_V2_FAMILY,
    "modernbert": Family(ropes=part.MODERNBERT, layers=part.MODERNBERT_3),
    "modernbert-decoder": Family(ropes=part.MODERNBERT, layers=part.MODERNBERT_3),
    "molmo2_text": Family(head_dim=128, rewrite=rewrites.scaled_layers),
    "olmo3": Family(ropes=part.OLMO3, layers=rule.full_every(4)),
    "step3p5": Family(head_dim=128, partial=1.0, rewrite=rewrites.lists_a_layer),
    "t5gemma2_decoder": Family(head_dim=256, ropes=part.GLOBAL_LOCAL, layers=part.GEMMA_6),
    "t5gemma2_text": Family(head_dim=256, ropes=part.GLOBAL_LOCAL, layers=part.GEMMA_6),
    "ultrabert": part.ULTRABERT_FAMILY,
    "zaya": Family(head_dim=128, partial=1.0, ropes=part.ZAYA, layers=part.ALL_HYBRID),

    # Layers without position.
    "afmoe": Family(head_dim=128, layers=part.AFMOE, no_position=nope.only(SLIDING)),
    "bamba": Family(partial=0.5, partial_keys=(), layers=part.BAMBA),
    "beam": Family(head_dim=128, ropes=part.BEAM, layers=part.GEMMA_6_LAST, query=scales.beam, query_layers="without"),
    "cohere2": part.Pairs(layers=part.WINDOW_4, no_position=part.NO_WINDOW_NONE),
    "cohere2_moe": part.Pairs(head_dim=128, layers=rule.cohere2_moe, no_position=nope.cohere2_moe_positions),
    "exaone4": Family(layers=part.WINDOW_4, no_position=part.NO_WINDOW_ALL),
    "exaone_moe": Family(layers=part.WINDOW_4, no_position=part.NO_WINDOW_ALL),
    "flint": Family(head_dim=128, layers=rule.flint, no_position=part.NO_WINDOW_NONE),
    "kolibri1": Family(head_dim=128, layers=rule.full_every(5), no_position=part.NO_WINDOW_ALL),
    "lara_mini": Family(head_dim=128, layers=part.LARA_MINI, no_position=nope.only(SLIDING)),
    "lfm2": Family(base=1e6, layers=part.LFM2),
    "lfm2_moe": Family(base=1e6, layers=part.LFM2),
    "llama4_text": _Llama4(head_dim=128, base=500_000.0, no_position=part.NOPE_4),
    "minimax": part.RotaryDim(base=1e6, layers=part.MINIMAX),
    "muse_glimmer_text": Family(head_dim=128, no_position=part.MUSE),
    "muse_spark_text": Family(head_dim=64, base=500_000.0, no_position=part.MUSE, reads_v4=False),
    "olmo_hybrid": Family(without=nope.null_base, layers=rule.full_every(4, other=LINEAR)),
    "qwen3_next": Family(head_dim=256, partial=0.25, layers=part.HYBRID),
    "recurrent_gemma": Family(partial=0.5, layers=part.RECURRENT),
    "smollm3": Family(base=2e6, no_position=part.NOPE_4),

    # No rotation, or only where the configuration asks for it.
    "esm": Family(without=part.ESM),
    "falcon": Family(without=part.ALIBI),
    "glm5_next_text": Family(without=part.NO_ROTATION),
    "granitemoehybrid": Family(without=part.GRANITE_HYBRID, layers=part.ALL_LINEAR),
    "jamba": Family(without=part.NO_ROTATION),
    "kimi_linear": Family(without=part.NO_ROTATION),
    "moshi_depth": Family(without=part.DEPTH_DECODER),
    "nemotron_h": Family(without=part.NO_ROTATION),
    "zamba2": part.ZAMBA2,
}
