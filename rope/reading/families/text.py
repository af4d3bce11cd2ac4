"""What config.json does not say, one line a family: the text models of transformers.

Each line holds what differs from the defaults of `Family`, as the family's configuration class and attention code say.
The families with several position axes, several ropes or layers without position are in `several`.
"""

from dataclasses import replace
from functools import partial

from tightrope.rope.reading.families import parts as part
from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.families.rules import attention_scale as scales
from tightrope.rope.reading.families.rules import layer_types as rule
from tightrope.rope.reading.families.several import SEVERAL

_Mistral4 = partial(part.MlaChoice, block_keys=("llama_4_scaling_beta",), query=scales.ministral)
_NeoX = partial(
    Family, base_keys=("rotary_emb_base", "rope_theta"), partial_keys=("rotary_pct", "partial_rotary_factor")
)
_Hunyuan = partial(Family, alpha=True, head_dim_keys=("head_dim", "attention_head_dim"))

# fmt: off
FAMILIES: dict[str, Family] = {
    # Whole heads, pairs half a head apart.
    "arcee": Family(shape=(2560, 32, 32, 4096)),
    "aria_text": Family(shape=(4096, 32, 32, 2048), wrappers=("aria",)),
    "chameleon": Family(shape=(4096, 32, 32, 4096)),
    "deepseek_ocr2_text": Family(shape=(4096, 32, 32, 2048), wrappers=("deepseek_ocr2",)),
    "diffllama": Family(shape=(2048, 32, 16, 2048)),
    "doge": Family(shape=(1024, 8, 32, 2048)),
    "dots1": Family(shape=(4608, 32, 62, 2048)),
    "esmc": Family(shape=(2560, 40, 80, 2048)),
    "eurobert": Family(shape=(768, 12, 12, 8192)),
    "falcon_h1": Family(shape=(4096, 32, 32, 8192)),
    "gradium_phonon_tts": Family(shape=(768, 12, 6, 8192)),
    "granite": Family(shape=(4096, 32, 32, 2048), wrappers=("granite_speech", "granite_speech_plus")),
    "granite4_vision_text": Family(shape=(4096, 32, 32, 2048), wrappers=("granite4_vision",)),
    "granite_docling_text": Family(shape=(1024, 16, 28, 32768), wrappers=("granite_docling",)),
    "granitemoe": Family(shape=(4096, 32, 32, 2048)),
    "granitemoeshared": Family(shape=(4096, 32, 32, 2048)),
    "hyperclovax": Family(shape=(4096, 32, 32, 2048), wrappers=("hyperclovax_vision_v2",)),
    "idefics": Family(shape=(4096, 32, 32, 2048)),
    "jais2": Family(shape=(3328, 26, 32, 8192)),
    "kyutai_speech_to_text": Family(shape=(2048, 32, 48, 750)),
    "llama": Family(shape=(4096, 32, 32, 2048),
        wrappers=("deepseek_vl", "deepseek_vl_hybrid", "glmasr", "idefics3", "janus", "llava", "llava_llama",
            "llava_next", "llava_next_video", "perception_lm", "smolvlm", "video_llava", "vipllava", "voxtral")),
    "ministral": Family(shape=(4096, 32, 32, 131072)),
    "mistral": Family(shape=(4096, 32, 32, 131072), wrappers=("idefics2", "llava_mistral", "mistral3")),
    "moshi": Family(shape=(4096, 32, 32, 3000)),
    "olmo": Family(shape=(4096, 32, 32, 2048)),
    "olmo2": Family(shape=(4096, 32, 32, 2048)),
    "olmoe": Family(shape=(2048, 16, 16, 4096)),
    "pocket_tts": Family(shape=(1024, 16, 6, 8192)),
    "qwen2": Family(shape=(4096, 32, 32, 32768),
        wrappers=("audioflamingo3", "fast_vlm", "got_ocr2", "internvl", "llava_onevision", "musicflamingo", "ovis2",
            "pp_chart2table", "qwen2_audio", "vibevoice", "vibevoice_asr", "video_llama_3")),
    "qwen2_moe": Family(shape=(2048, 16, 24, 32768)),
    "qwen3_moe": Family(shape=(2048, 32, 24, 32768)),
    "starcoder2": Family(shape=(3072, 24, 30, 4096)),
    "unlimited_ocr_text": Family(shape=(1280, 10, 12, 32768), wrappers=("unlimited_ocr",)),
    "voxtral_realtime_text": Family(shape=(4096, 32, 32, 131072), wrappers=("voxtral_realtime",)),
    "apertus": Family(base=1.2e7, block=part.LLAMA3_8, shape=(4096, 32, 32, 65536)),
    "apertus1p5_text": Family(base=1.2e7, block=part.LLAMA3_8, shape=(4096, 32, 32, 65536), wrappers=("apertus1p5",)),
    "bitnet": Family(base=500_000.0, shape=(2560, 20, 30, 2048)),
    "csm": Family(base=500_000.0, shape=(2048, 32, 16, 2048)),
    "csm_depth_decoder_model": Family(base=500_000.0, shape=(1024, 8, 4, 33)),
    "cwm": Family(head_dim=128, base=1e6, block=part.LLAMA3_16, shape=(6144, 48, 64, 131072)),
    "dbrx": Family(base_keys=("attn_config.rope_theta", "rope_theta"), shape=(2048, 16, 24, 2048)),
    "dia_decoder": Family(head_dim=128, shape=(2048, 16, 18, 3072), wrappers=("dia",)),
    "dia_encoder": Family(head_dim=128, shape=(1024, 16, 12, 1024)),
    "emu3_text_model": Family(base=1e6, shape=(4096, 32, 32, 9216), wrappers=("emu3",)),
    "evolla": Family(base=500_000.0, shape=(4096, 32, 32, 8192)),
    "exaone": Family(base=500_000.0, shape=(4096, 32, 32, 4096)),
    "flex_olmo": Family(base=500_000.0, shape=(4096, 32, 32, 4096)),
    "gemma": Family(head_dim=256, shape=(3072, 16, 28, 8192), wrappers=("paligemma", "colpali", "pi0")),
    "gemma2": Family(head_dim=256, shape=(2304, 8, 26, 8192)),
    "gpt_oss": Family(head_dim=64, base=150_000.0, block=part.GPT_OSS_YARN, shape=(2880, 64, 36, 131072)),
    "gte": Family(base=160_000.0, shape=(768, 12, 12, 8192)),
    "higgs_audio_v2": Family(head_dim=128, base=500_000.0, block=part.HIGGS_LLAMA3, shape=(3072, 24, 28, 2048)),
    "hrm_text": Family(head_dim=128, shape=(1536, 12, 128, 2048)),
    "hunyuan_v1_dense": _Hunyuan(shape=(4096, 32, 32, 2048)),
    "hunyuan_v1_moe": _Hunyuan(shape=(4096, 32, 32, 2048)),
    "hy_v3": Family(head_dim=128, base=11_158_840.0, shape=(4096, 64, 80, 131072)),
    "internlm3": Family(head_dim=128, shape=(4096, 32, 48, 32768)),
    "iquestcoder": Family(head_dim=128, shape=(5120, 40, 80, 131072)),
    "jetmoe": Family(head_dim=128, head_dim_keys=("kv_channels", "head_dim"), shape=(2048, 32, 12, 4096)),
    "jina_embeddings_v3": Family(base=20_000.0, base_keys=("rope_theta", "rotary_emb_base"), shape=(1024, 16, 24, 8194),
        wrappers=("xlm_roberta_flash",)),
    "ministral3": part.Temperature(head_dim=128, base=1e6, block=part.MINISTRAL3_YARN, shape=(4096, 32, 34, 262144)),
    "mixtral": Family(base=1e6, shape=(4096, 32, 32, 131072)),
    "mllama_text_model": Family(base=500_000.0, no_position=part.CROSS_ATTENTION, shape=(4096, 32, 40, 131072),
        wrappers=("mllama",)),
    "muse_glimmer_assistant": Family(head_dim=128, base=500_000.0, shape=(6656, 32, 5, 131072)),
    "nanochat": Family(direction=-1, shape=(768, 6, 12, 2048)),
    "phimoe": Family(base=1e6, shape=(4096, 32, 32, 131072)),
    "qwen3": Family(head_dim=128, shape=(4096, 32, 32, 32768),
        wrappers=("fun_asr_nano", "lighton_ocr", "moss_transcribe_diarize", "qianfan_ocr", "qwen3_asr")),
    "qwen3_omni_moe_talker_code_predictor": Family(head_dim=128, shape=(1024, 16, 5, 32768)),
    "sarvam_moe": Family(head_dim=64, base=8e6, partial=1.0, shape=(4096, 64, 19, 131072)),
    "seed_oss": Family(head_dim=128, shape=(4096, 80, 64, 524288)),
    "t5_gemma_module": Family(head_dim=256, shape=(2304, 8, 26, 8192), wrappers=("t5gemma",)),
    "vaultgemma": Family(head_dim=256, shape=(2304, 8, 26, 8192)),

    # A part of the head.
    "glm4_moe": Family(partial=0.5, shape=(4096, 96, 46, 131072)),
    "gpt_neox": _NeoX(partial=0.25, shape=(6144, 64, 44, 2048)),
    "gpt_neox_japanese": _NeoX(partial=1.0, rounds_up=False, shape=(2560, 32, 32, 2048)),
    "minimax_m2": part.RotaryDim(head_dim=128, base=5e6, shape=(3072, 48, 62, 196608)),
    "minimax_m3_vl_text": Family(head_dim=128, base=5e6, partial=1.0, decoys=("rotary_dim",),
        shape=(6144, 64, 60, 524288), wrappers=("minimax_m3_vl",)),
    "nemotron": Family(partial=0.5, shape=(6144, 48, 32, 4096)),
    "persimmon": Family(partial=0.5, rounds_up=False, shape=(4096, 64, 36, 16384), wrappers=("fuyu",)),
    "phi": Family(partial=0.5, rounds_up=False, shape=(2048, 32, 24, 2048)),
    "phi3": Family(partial=1.0, type_aliases={"yarn": "longrope"}, shape=(3072, 32, 32, 4096)),
    "phi4_multimodal": Family(partial=1.0, type_aliases={"yarn": "longrope"}, shape=(3072, 32, 32, 131072)),
    "solar_open": Family(head_dim=128, base=1e6, partial=1.0, shape=(4096, 64, 48, 131072)),
    "stablelm": Family(partial=0.25, rounds_up=False, partial_keys=("partial_rotary_factor", "rope_pct"),
        shape=(2560, 32, 32, 4096)),

    # Neighbouring channels pair up.
    "blt_global_transformer": part.Pairs(base=500_000.0, shape=(2048, 16, 25, 4096), wrappers=("blt",)),
    "blt_local_decoder": part.Pairs(base=500_000.0, shape=(1024, 16, 9, 24576)),
    "blt_local_encoder": part.Pairs(base=500_000.0, shape=(1024, 16, 1, 24576)),
    "blt_patcher": part.Pairs(shape=(768, 12, 14, 8192)),
    "codegen": part.Pairs(rotary_dim=64, rotary_dim_keys=("rotary_dim",), shape=(4096, 16, 28, 2048)),
    "cohere": part.Pairs(base=500_000.0, shape=(8192, 64, 40, 8192)),
    "ernie4_5": part.Pairs(head_dim=128, base=500_000.0, shape=(1024, 16, 18, 131072)),
    "ernie4_5_moe": part.Pairs(base=500_000.0, shape=(2560, 20, 28, 131072)),
    "glm": part.Pairs(partial=0.5, head_dim=128, shape=(4096, 32, 40, 131072)),
    "glm4": part.Pairs(partial=0.5, head_dim=128, shape=(4096, 32, 40, 131072)),
    "gptj": part.Pairs(rotary_dim=64, rotary_dim_keys=("rotary_dim",), shape=(4096, 16, 28, 2048)),
    "helium": part.Pairs(base=100_000.0, head_dim=128, shape=(2560, 20, 24, 4096)),
    "nomic_bert": replace(part.NOMIC_BERT, shape=(768, 12, 12, 2048)),
    "openai_privacy_filter": part.Pairs(head_dim=64, base=150_000.0, block=part.GPT_OSS_YARN,
        shape=(640, 14, 8, 131072)),
    "roformer": part.Pairs(shape=(768, 12, 12, 1536)),

    # Multi-head latent attention: the last channels turn.
    "axk1": part.MlaChoice(mla=(128, 64), shape=(7168, 64, 61, 32768)),
    "axk2": part.Mla(mla=(64, 32), shape=(2048, 32, 48, 131072)),
    "bailing_hybrid": part.Mla(mla=(128, 64), base=6e6, layers=part.BAILING, shape=(2560, 32, 42, 262144)),
    "deepseek_v2": part.Mla(mla=(128, 64), shape=(4096, 32, 32, 2048)),
    "deepseek_v3": part.MlaChoice(mla=(128, 64), shape=(7168, 128, 61, 4096), wrappers=("kimi_k25",)),
    "deepseek_v32": part.Mla(mla=(128, 64), note=part.INDEXER_NOTE, shape=(7168, 128, 61, 163840)),
    "deepseek_v4": replace(part.DEEPSEEK_V4_FAMILY, shape=(4096, 64, 43, 1048576)),
    "dots3_note_text": part.Pairs(mla=(128, 64), ropes=part.DOTS3, layers=rule.dots3, shape=(5120, 128, 46, 524288),
        wrappers=("dots3_note",)),
    "glm4_moe_lite": part.MlaChoice(mla=(192, 64), shape=(2048, 20, 47, 202752)),
    "glm_moe_dsa": part.Mla(mla=(192, 64), decoys=("indexer_rope_interleave",), shape=(6144, 64, 78, 202752)),
    "hy_v4": Family(mla=(192, 64), softmax=True, shape=(2816, 32, 34, 262144)),
    "longcat_flash": part.Mla(mla=(128, 64), base=1e7, layers_factor=("num_layers", 2), shape=(6144, 64, 56, 131072)),
    "minicpm3": Family(mla=(64, 32), softmax=True, shape=(2560, 40, 62, 32768)),
    "mistral4": _Mistral4(mla=(64, 64), block=part.MISTRAL4_YARN, shape=(4096, 32, 36, 1048576)),
    "mistral_large4_text": replace(part.MISTRAL_LARGE4, shape=(6144, 64, 72, 1048576), wrappers=("mistral_large4",)),
    "sarvam_mla": part.MlaChoice(mla=(128, 64), type_aliases={"deepseek_yarn": "yarn"}, shape=(4096, 64, 32, 4096)),
    "youtu": part.MlaChoice(mla=(128, 64), shape=(2048, 16, 32, 131072)),

    **SEVERAL,
}
