"""What config.json does not say, one line a family: vision and audio towers, families that rotate otherwise."""

from functools import partial

from tightrope.rope.reading.families import parts as part
from tightrope.rope.reading.families.family import Axes, Family
from tightrope.rope.reading.families.rules import head_dim as widths
from tightrope.rope.reading.families.rules import no_position as nope


def _refused(reason: str) -> Family:
    return Family(refused=nope.always_without(reason))


_BY_HEAD = "it turns by the index of the head, not of the token"
_BEFORE_PROJECTION = "where position_embeddings_type is 'rotary', it turns hidden states before they become q and k"
_CLVP = nope.without_if("use_rotary_embedding", False, "nothing turns")
_FIRST_HEAD_NOTE = "only the first head of q and of k turns"

# Patches: unless a line says otherwise two axes, row and column, each with a progression over half of the pairs.
_Patches = partial(Family, axes=Axes(), type_aliases={"axial": "default"})
_PairedPatches = partial(_Patches, layout="interleaved")
_Coordinates = partial(_Patches, axes=Axes(fractional=True), base=100.0)
_COLUMN_ROW = "positions are (column, row)"
_FROM_ONE = f"{_COLUMN_ROW}, counted from 1"
_FRACTIONS = "fractional positions have float32 angles"
_CENTRES = f"positions are coordinates of patch centres (centre_positions), 0 for tokens before them; {_FRACTIONS}"
_WINDOWS = f"{_COLUMN_ROW}, in layers without windows times window_size / the patches of a side; {_FRACTIONS}"
_CLASS_ANGLES = "the class token turns by learned angles (class_pos_emb), which config.json does not hold"
_CELLS = "the whole width turns, before it is cut into heads; positions are (row, column), counted from 1"

# Its relative positions or its convolutions know the order.
_OTHERWISE = """
    nemotron_asr_streaming nemotron_asr_streaming_encoder parakeet_ctc parakeet_encoder parakeet_rnnt parakeet_tdt
"""

# fmt: off
TOWERS: dict[str, Family] = {
    # By token, as text.
    "clvp_encoder": Family(rotary_dim=32, rotary_dim_keys=("rotary_dim",), without=_CLVP),
    "deepseek_ocr2_encoder": Family(),
    "dots3_note_audio_encoder": Family(partial=0.5),
    "glmasr_encoder": Family(partial=0.5),
    "lasr_encoder": Family(),
    "mimi": Family(),
    "moonshine": part.Pairs(partial=0.9),
    "moonshine_streaming": part.Pairs(partial=0.8),
    "nemotron3_5_transcribe_asr_audio": Family(partial=0.5),
    "nemotron3_5_transcribe_word_timestamp": Family(partial=0.5),
    "nemotron3_diarization_audio": Family(partial=1.0),
    "pe_audio_encoder": part.Pairs(head_dim=128, base=20_000.0),
    "pe_audio_video_encoder": part.Pairs(head_dim=128, base=20_000.0),
    "pe_video_encoder": part.Pairs(head_dim=128, base=20_000.0),
    "pocket_tts_audio_tokenizer": Family(),
    "qwen2_5_omni_dit": part.Pairs(head_dim=64, note=_FIRST_HEAD_NOTE),
    "timesfm2_5": Family(head_dim=80),
    "voxtral_realtime_encoder": Family(head_dim=64),

    # Patches, by row and column (and time).
    "cohere_compass_vision": _Patches(shape=(1152, 16, 27, None)),
    "dots3_note_vision_encoder": _Patches(shape=(1536, 24, 42, None)),
    "ernie4_5_vl_moe_vision": _Patches(shape=(1280, 16, 32, None)),
    "exaone4_5_vision": _Patches(shape=(3584, 16, 32, None)),
    "glm4v_moe_vision": _Patches(shape=(1536, 12, 24, None)),
    "glm4v_vision": _Patches(shape=(1536, 12, 24, None)),
    "glm5_next_vision": _Patches(shape=(1024, 16, 24, None)),
    "glm_ocr_vision": _Patches(shape=(1024, 16, 24, None)),
    "paddleocr_vl_vision": _Patches(shape=(1152, 16, 27, None)),
    "qwen2_5_omni_vision_encoder": _Patches(shape=(3584, 16, 32, None)),
    "qwen2_5_vl_vision": _Patches(shape=(3584, 16, 32, None)),
    "qwen3_5_moe_vision": _Patches(shape=(1152, 16, 27, None)),
    "qwen3_5_vision": _Patches(shape=(1152, 16, 27, None)),
    "qwen3_omni_moe_vision_encoder": _Patches(shape=(1152, 16, 27, None)),
    "qwen3_vl_moe_vision": _Patches(shape=(1152, 16, 27, None)),
    "qwen3_vl_vision": _Patches(shape=(1152, 16, 27, None)),
    "qwen4_exp_vision": _Patches(shape=(1152, 16, 27, None)),
    "video_llama_3_vision": _Patches(shape=(768, 12, 12, None)),
    "dinov3_vit": _Coordinates(note=_CENTRES, shape=(384, 6, 12, None)),
    "edgetam_video": _PairedPatches(width=widths.MEMORY, note=_COLUMN_ROW),
    "efficientloftr": _PairedPatches(
        axes=Axes(order="interleaved"), width=widths.WHOLE, note=_CELLS,
        shape=(256, 8, None, None),
    ),
    "eomt_dinov3": _Coordinates(note=_CENTRES, shape=(1024, 16, 24, None)),
    "gemma4_vision": _Patches(layout="halves", base=100.0, note=_COLUMN_ROW, shape=(768, 12, 16, None)),
    "inkling2_vision": _PairedPatches(axes=Axes(order="reversed_chunked"), shape=(1024, 16, 23, None)),
    "kimi_k25_vision": _Patches(axes=Axes(order="reversed_interleaved"), shape=(1152, 16, 27, None)),
    "lfm3_vl_vision": _Patches(base=1e6, shape=(1024, 16, 14, None)),
    "llama4_vision_model": _PairedPatches(
        note=f"{_FROM_ONE}; the class token, the last, has 0",
        shape=(768, 16, 34, None),
    ),
    "minimax_m3_vl_vision": _Patches(axes=Axes(count=3), shape=(1280, 16, 32, None)),
    "mlcd_vision_model": _Patches(note=_CLASS_ANGLES, shape=(1664, 16, 48, None)),
    "muse_glimmer_vision": _Patches(note=_FROM_ONE, shape=(1536, 16, 50, None)),
    "muse_spark_vision": _Patches(note=_FROM_ONE, shape=(1536, 16, 50, None)),
    "pixtral": _Patches(axes=Axes(progression="dealt"), shape=(1024, 16, 24, None)),
    "qwen2_vl_vision": _Patches(width=widths.EMBED, shape=(3584, 16, 32, None)),
    "sam2_video": _PairedPatches(width=widths.MEMORY, note=_COLUMN_ROW),
    "sam3_tracker_video": _PairedPatches(width=widths.MEMORY, note=_COLUMN_ROW),
    "sam3_vit_model": _PairedPatches(axes=Axes(fractional=True), note=_WINDOWS, shape=(1024, 16, 32, None)),
    "sapiens2": _Coordinates(note=_CENTRES, shape=(1024, 16, 24, None)),
    "step3p5_vision": _Patches(axes=Axes(order="reversed_chunked"), shape=(1536, 16, 47, None)),

    # Not by token, or no rotation.
    "esmfold2": _refused("it turns atoms by their coordinates in space, not tokens by their position"),
    "lightglue": _refused("its angles come from learned weights, not from the configuration"),
    "neucodec": _refused(_BY_HEAD),
    "pp_doclayout_v2": _refused("its frequencies are those of a bias between boxes; nothing turns"),
    "seamless_m4t": _refused(_BEFORE_PROJECTION),
    "vjepa2": _refused("it repeats angles half by half but pairs neighbouring channels, which does not keep norms"),
    "wav2vec2-bert": _refused(_BEFORE_PROJECTION),
    "wav2vec2-conformer": _refused(_BEFORE_PROJECTION),
    "xcodec2": _refused(_BY_HEAD),
    **dict.fromkeys(_OTHERWISE.split(), Family(without=part.OTHER_POSITIONS)),
}
# fmt: on
