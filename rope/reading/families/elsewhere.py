"""Families that transformers does not have, one line each: remote code, mlx-lm's own, models without rotation."""

from tightrope.rope.reading.families import parts as part
from tightrope.rope.reading.families.family import Family
from tightrope.rope.reading.families.rules import layer_types as rule
from tightrope.rope.reading.families.rules import no_position as nope
from tightrope.rope.reading.families.rules import rewrites

_PLAIN = """
    Klear Yi aquila baichuan_m1 deci deepseek internlm internlm2 mimo minicpm nanbeige orion plamo skywork
    telechat3 xverse
"""
_OTHERWISE = """
    albert bart bert big_bird bigbird_pegasus biogpt blenderbot bloom camembert canine clip_text_model ctrl
    deberta deberta-v2 distilbert electra falcon_mamba fnet fsmt funnel gpt2 gpt_bigcode gpt_neo hy_v4_vl_vision
    ibert inkling2_loop_text inkling2_text inkling_text jais kimi_k3 led longformer longt5 luke m2m_100 mamba
    mamba2 marian mbart megatron-bert mpnet mpt mt5 mvp openai-gpt opt pegasus plbart prophetnet reformer
    rembert roberta roc_bert rwkv rwkv7 siglip2_vision_model siglip_text_model siglip_vision_model splinter
    switch_transformers t5 udop umt5 whisper xglm xlm xlm-roberta xlm-roberta-xl xlnet
"""

# fmt: off
ELSEWHERE: dict[str, Family] = {
    **dict.fromkeys(_PLAIN.split(), Family()),
    "afm7": Family(layout="interleaved", base=50_000.0),
    "baichuan": Family(without=nope.baichuan),
    "bailing_moe": part.RotaryDim(),
    "bailing_moe_linear": part.RotaryDim(all_layers=True),
    "bailing_moe_v2": part.RotaryDim(),
    "bailing_moe_v3": part.Mla(mla=(128, 64), base=6e6, layers=part.BAILING),
    "chatglm": part.CHATGLM_FAMILY,
    "deepseek_v41": part.DEEPSEEK_V4_FAMILY,
    "deepseek_v41_text": part.DEEPSEEK_V4_FAMILY,
    "gear": Family(ropes=part.GLOBAL_LOCAL),
    "hymba": part.HYMBA_FAMILY,
    "nemotron_flash": part.HYMBA_FAMILY,
    "hunyuan": Family(alpha=True, head_dim_keys=("head_dim", "attention_head_dim")),
    "iquestloopcoder": Family(base=500_000.0),
    "joyai_llm_flash": part.MlaChoice(mla=(128, 64)),
    "kimi_k2": part.MlaChoice(mla=(128, 64)),
    "kimi_vl": part.MlaChoice(mla=(128, 64)),
    "lille-130m": Family(layout="interleaved"),
    "longcat_flash_ngram": part.Mla(mla=(128, 64), base=1e7, layers_factor=("num_layers", 2)),
    "minimax_m1": part.RotaryDim(base=1e6, layers=part.MINIMAX_01),
    "minimax_text_01": part.RotaryDim(base=1e6, layers=part.MINIMAX_01),
    "nemotron-nas": Family(base=500_000.0),
    "openelm": Family(base_keys=("rope_freq_constant", "rope_theta")),
    "phi-msft": Family(rotary_dim=32, rotary_dim_keys=("rotary_dim",)),
    "phi3_v": Family(partial=1.0, type_aliases={"yarn": "longrope"}),
    "phi3small": Family(base=1e6, base_keys=("rope_embedding_base", "rope_theta"), rewrite=rewrites.position_scale),
    "phixtral": Family(rotary_dim=32, rotary_dim_keys=("rotary_dim",)),
    "plamo2": Family(head_dim=128, head_dim_keys=("hidden_size_per_head", "head_dim"), layers=rule.plamo2),
    "plamo3": Family(head_dim=128, ropes=part.PLAMO3, layers=rule.full_every(8, "sliding_window_pattern")),
    "qwen": part.QWEN1,
    "spark2_5": Family(partial=1.0, layers=rule.full_every(4)),
    "stablelm_epoch": Family(partial=0.25, partial_keys=("rope_pct", "partial_rotary_factor")),
    "talkie": Family(head_dim=128, base=1e6, direction=-1),
    "youtu_llm": part.MlaChoice(mla=(128, 64), base=1.6e6),
    # Native checkpoints of Meta and Mistral (params.json): their weights pair neighbouring channels.
    "meta_params": Family(layout="interleaved", published_layout="half"),
    "meta_params_nope": Family(layout="interleaved", published_layout="half", no_position=part.NOPE_4),
    "mistral_params": part.WithTemperature(layout="interleaved", published_layout="half"),
    "mistral_params_mla": part.WithTemperature(layout="interleaved", mla=(128, 64)),
    **dict.fromkeys(_OTHERWISE.split(), Family(without=part.OTHER_POSITIONS)),
}
# fmt: on
