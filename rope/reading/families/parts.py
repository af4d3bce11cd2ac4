"""What the lines of the family table are made of: several ropes in one model, default blocks, reasons and rules."""

from functools import partial

from tightrope.rope.reading.families.family import Family, LayerRope
from tightrope.rope.reading.families.rules import attention_scale as scales
from tightrope.rope.reading.families.rules import head_dim, rewrites
from tightrope.rope.reading.families.rules import layer_types as rule
from tightrope.rope.reading.families.rules import no_position as nope
from tightrope.rope.reading.families.rules.layer_types import FULL, LINEAR, SLIDING

Pairs = partial(Family, layout="interleaved")
Mla = partial(Family, layout="interleaved", softmax=True)
MlaChoice = partial(Mla, layout_key="rope_interleave")
RotaryDim = partial(Family, partial=1.0, rotary_dim_keys=("rotary_dim",))
WithTemperature = partial(Family, block_keys=("llama_4_scaling_beta",), query=scales.ministral)

# Sliding layers keep their own base, without scaling; the rest is spelled rope_theta and rope_scaling.
GLOBAL_LOCAL = {
    SLIDING: LayerRope(base_keys=("rope_local_base_freq",), scaled=False),
    FULL: LayerRope(base=1e6),
}
GEMMA4 = {
    SLIDING: LayerRope(base_keys=("rope_local_base_freq",), scaled=False),
    FULL: LayerRope(
        base=1e6,
        block={"rope_type": "proportional", "partial_rotary_factor": 0.25},
        widths={"head_dim": ("global_head_dim", 512)},
    ),
}
EMBEDDING_GEMMA2 = {
    SLIDING: LayerRope(base_keys=(), scaled=False),
    FULL: LayerRope(base=1e6, widths={"head_dim": ("global_head_dim", 512)}),
}
OLMO3 = {SLIDING: LayerRope(base=500_000.0, scaled=False), FULL: LayerRope(base=500_000.0)}
MODERNBERT = {
    FULL: LayerRope(base=160_000.0, base_keys=("global_rope_theta",)),
    SLIDING: LayerRope(base_keys=("local_rope_theta",)),
}
ULTRABERT = {SLIDING: LayerRope(base_keys=(), scaled=False), FULL: LayerRope(base=2_560_000.0)}
LAGUNA = {
    FULL: LayerRope(base=500_000.0, block={"partial_rotary_factor": 0.5}),
    SLIDING: LayerRope(base_keys=(), scaled=False),
}
MELLUM = {FULL: LayerRope(base=500_000.0), SLIDING: LayerRope(base_keys=(), scaled=False)}
NEOMME = {FULL: LayerRope(base=1e6, partial=0.25), SLIDING: LayerRope(scaled=False)}
MIMO_V2 = {
    FULL: LayerRope(base=5e6),
    SLIDING: LayerRope(base_keys=("swa_rope_theta",), scaled=False, widths={"head_dim": ("swa_head_dim", None)}),
}
ZAYA = {
    "hybrid": LayerRope(base=5e6, block={"partial_rotary_factor": 0.5}),
    "hybrid_sliding": LayerRope(base_keys=(), block={"partial_rotary_factor": 0.5}, scaled=False),
}
LFM3 = {
    SLIDING: LayerRope(base_keys=(), scaled=False),
    FULL: LayerRope(base=1e6, block={"rope_type": "proportional", "partial_rotary_factor": 0.5}),
}
DORY = {SLIDING: LayerRope(base_keys=(), scaled=False), FULL: LayerRope(base=1e7)}
BEAM = {SLIDING: LayerRope(), FULL: None}
DOTS3_SLIDING_WIDTHS = {
    "qk_nope_head_dim": ("swa_qk_nope_head_dim", 192),
    "qk_rope_head_dim": ("swa_qk_rope_head_dim", 64),
}
DOTS3 = {
    "indexed_attention": LayerRope(base=8e7, layer_types=(FULL,)),
    SLIDING: LayerRope(base=50_000.0, base_keys=("swa_rope_theta",), own_base=True, widths=DOTS3_SLIDING_WIDTHS),
}
GPT_OSS_YARN = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}
MISTRAL_YARN = {
    "rope_type": "yarn",
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}
MINISTRAL3_YARN = {**MISTRAL_YARN, "factor": 16.0, "original_max_position_embeddings": 16384}
MISTRAL4_YARN = {**MISTRAL_YARN, "factor": 128.0, "original_max_position_embeddings": 8192}
MISTRAL_LARGE4_YARN = {
    "rope_type": "yarn",
    "factor": 2048.0,
    "original_max_position_embeddings": 512,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "attention_factor": 1.0,
}
LLAMA3 = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3_8 = {**LLAMA3, "factor": 8.0, "original_max_position_embeddings": 8192}
LLAMA3_16 = {**LLAMA3, "factor": 16.0, "original_max_position_embeddings": 8192}
HIGGS_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 0.125,
    "high_freq_factor": 0.5,
    "original_max_position_embeddings": 1024,
}
DEEPSEEK_V4 = {
    "main": LayerRope(scaled=False, layer_types=(SLIDING,)),
    "compress": LayerRope(
        base=160_000.0,
        base_keys=("compress_rope_theta",),
        own_base=True,
        fixed={"yarn": {"attention_factor": 1.0}},  # V4 does not scale cos and sin
        layer_types=("compressed_sparse_attention", "heavily_compressed_attention"),
    ),
}
PLAMO3 = {SLIDING: LayerRope(base_keys=("rope_local_theta",), scaled=False), FULL: LayerRope(base=1e6)}

HYBRID = rule.full_every(4, "full_attention_interval", other=LINEAR)
QWEN4 = rule.full_every(4, "full_attention_interval", other=LINEAR, full="indexed_attention")
GEMMA_6 = rule.full_every(6, "sliding_window_pattern")
GEMMA_6_LAST = rule.full_every(6, "sliding_window_pattern", also=(-1,))
WINDOW_4 = rule.full_every(4, "sliding_window_pattern")
AFMOE = rule.full_every(4, "global_attn_every_n_layers")
MODERNBERT_3 = rule.full_every(3, "global_attn_every_n_layers", first=0)
BAILING = rule.full_every(6, "layer_group_size", other=LINEAR)
MINIMAX = rule.flags("attn_type_list", FULL, LINEAR, rule.full_every(2, first=0, other=LINEAR))
MINIMAX_01 = rule.flags("attn_type_list", FULL, LINEAR, rule.full_every(8, other=LINEAR))
MIMO_V2_LAYERS = rule.flags("hybrid_layer_pattern", SLIDING, FULL, rule.full_every(6, also=(0,)))
RECURRENT = rule.repeated(
    "block_types", {"recurrent": LINEAR, "attention": SLIDING}, ("recurrent", "recurrent", "attention")
)
LARA_MINI = rule.cycle(LINEAR, SLIDING, LINEAR, FULL, SLIDING)
LFM2 = rule.full_at("full_attn_idxs", "conv", missing=FULL)
BAMBA = rule.full_at("attn_layer_indices", LINEAR, missing=LINEAR)
ALL_LINEAR = rule.full_every(1, full=LINEAR)
ALL_HYBRID = rule.full_every(1, full="hybrid")

NOPE_4 = nope.no_rope_layers(nope.every_nth(4, "no_rope_layer_interval"))
CROSS_ATTENTION = nope.listed("cross_attention_layers", (3, 8, 13, 18, 23, 28, 33, 38))
MUSE = nope.zero_bases(nope.last_of_four)
NO_WINDOW_ALL = nope.sliding_only(without_window=True)
NO_WINDOW_NONE = nope.sliding_only(without_window=False)

NO_ROTATION = nope.always_without("its attention has no rotary positions; rope keys in the file have no effect")
OTHER_POSITIONS = nope.always_without("this family knows positions by other means")
DEPTH_DECODER = nope.always_without("the depth decoder is built without rotary positions")
ALIBI = nope.without_if("alibi", True, "ALiBi takes the place of rotary positions")
HYMBA = nope.without_if("rope", False, "nothing rotates")
ESM = nope.without_unless("position_embedding_type", "rotary", "only 'rotary' turns", "absolute")
GRANITE_HYBRID = nope.without_unless("position_embedding_type", "rope", "only 'rope' turns")
CHATGLM = nope.without_if("position_encoding_2d", True, "ChatGLM 1 has two-dimensional positions, which are not read")

INDEXER_NOTE = "the indexer turns its first 64 channels, pairs half a head apart"
UNROTATED_NOTE = "the attention output is rotated back by the query's angles (rotate with transpose=True)"
LEARNED_NOTE = "each layer multiplies inv_freq by exp(alpha), a learned weight; config.json does not hold it"
HY_V4_NOTE = (
    "transformers' class pairs halves, as is read here; llama.cpp and SGLang pair neighbouring channels of the same "
    "published weights"
)
XDROPE_NOTE = (
    "within pictures both channels of a pair follow one axis, as in Tencent's own code, vLLM and llama.cpp; "
    "in transformers they follow two"
)

# Families whose line would be too long.
DEEPSEEK_V4_FAMILY = Family(
    head_dim=512,
    layout="interleaved",
    side="tail",
    partial=0.125,
    rotary_dim_keys=("qk_rope_head_dim",),
    ropes=DEEPSEEK_V4,
    layers=rule.deepseek_v4,
    note=UNROTATED_NOTE,
)
GEMMA4_FAMILY = Family(
    null_base=("rope_theta", "rope_local_base_freq"),
    head_dim=256,
    partial=1.0,
    ropes=GEMMA4,
    layers=GEMMA_6_LAST,
    rewrite=rewrites.last_is_full,
    reads_v4=False,
)
ULTRABERT_FAMILY = Family(
    null_base=("rope_theta",),
    ropes=ULTRABERT,
    rewrite=rewrites.lists_a_layer,
    layers=rule.full_every(3),
    reads_v4=False,
)
MIMO_V2_FAMILY = Family(
    null_base=("rope_theta", "swa_rope_theta"),
    head_dim=192,
    partial=0.334,
    ropes=MIMO_V2,
    layers=MIMO_V2_LAYERS,
    decoys=("swa_num_attention_heads", "swa_num_key_value_heads", "swa_v_head_dim", "add_swa_attention_sink_bias"),
)
HUNYUAN_VL = Family(
    alpha=True,
    head_dim_keys=("head_dim", "attention_head_dim"),
    type_aliases={"xdrope": "dynamic"},
    mrope="chunked",
    rewrite=rewrites.xdrope_sections,
    note=XDROPE_NOTE,
)
HYMBA_FAMILY = Family(width=head_dim.hymba, without=HYMBA, rewrite=rewrites.type_at_the_top)
MISTRAL_LARGE4 = Family(
    null_base=("rope_theta",),
    mla=(64, 64),
    layout="interleaved",
    block=MISTRAL_LARGE4_YARN,
    no_position=NOPE_4,
    softmax=True,
    note=LEARNED_NOTE,
)
NOMIC_BERT = Family(
    null_base=("rotary_emb_base",),
    layout_key="rotary_emb_interleaved",
    base=1000.0,
    base_keys=("rotary_emb_base", "rope_theta"),
    partial=1.0,
    partial_keys=("rotary_emb_fraction",),
)
QWEN1 = Family(
    partial=1.0,
    base_keys=("rotary_emb_base", "rope_theta"),
    partial_keys=("rotary_pct",),
    head_dim_keys=("kv_channels", "head_dim"),
    rewrite=rewrites.qwen_dynamic,
)
CHATGLM_FAMILY = Family(
    layout="interleaved",
    partial=0.5,
    base_factor_key="rope_ratio",
    head_dim_keys=("kv_channels", "head_dim"),
    without=CHATGLM,
    decoys=("original_rope",),
)
ZAMBA2 = Family(
    hidden_factor=2,
    head_dim_keys=("attention_head_dim", "head_dim"),
    without=nope.without_unless("use_mem_rope", True, "only true turns", False),
    layers=rule.zamba2,
)
