"""What config.json does not say, one line a family: encoders of sound and video, families without rotation by token."""

from tightrope.rope.reading import family_parts as part
from tightrope.rope.reading import nope
from tightrope.rope.reading.family import Family


def _refused(reason: str) -> Family:
    return Family(refused=nope.always_without(reason))


_BY_HEAD = "it turns by the index of the head, not of the token"
_BEFORE_PROJECTION = "where position_embeddings_type is 'rotary', it turns hidden states before they become q and k"
_GRID = "its positions are the rows and columns of patches, several axes with frequencies of their own"
_CLVP = nope.without_if("use_rotary_embedding", False, "nothing turns")
_FIRST_HEAD_NOTE = "only the first head of q and of k turns"

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

    # Not by token, or no rotation.
    "dinov3_vit": _refused(_GRID),
    "efficientloftr": _refused(_GRID),
    "eomt_dinov3": _refused(_GRID),
    "esmfold2": _refused("it turns atoms by their coordinates in space, not tokens by their position"),
    "lightglue": _refused("its angles come from learned weights, not from the configuration"),
    "llama4_vision_model": _refused(_GRID),
    "neucodec": _refused(_BY_HEAD),
    "pp_doclayout_v2": _refused("its frequencies are those of a bias between boxes; nothing turns"),
    "sapiens2": _refused(_GRID),
    "seamless_m4t": _refused(_BEFORE_PROJECTION),
    "vjepa2": _refused("it repeats angles half by half but pairs neighbouring channels, which does not keep norms"),
    "wav2vec2-bert": _refused(_BEFORE_PROJECTION),
    "wav2vec2-conformer": _refused(_BEFORE_PROJECTION),
    "xcodec2": _refused(_BY_HEAD),
    **dict.fromkeys(_OTHERWISE.split(), Family(without=part.OTHER_POSITIONS)),
}
# fmt: on
