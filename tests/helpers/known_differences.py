"""Where Tightrope computes something else than another library, on purpose: the ledger that the comparisons read.

An entry names one family, one rope type (or variant of it) or one published spelling, the cause, and evidence from
outside this code. It never covers a whole family: a difference that does is a mistake in the family table.
"""

from dataclasses import dataclass
from itertools import product

TRANSFORMERS = "transformers 5.24.0"


@dataclass(frozen=True)
class Difference:
    """One entry.

    Attributes:
        library: What the comparison is with.
        family: Folder of the family in that library.
        scaling: The rope type, the variant of it, or the published spelling that differs.
        cause: What happens there.
        evidence: Why that is not what the model, or the method, means.
        content: The positions at which it differs: everywhere, or in a "picture" alone.
    """

    library: str
    family: str
    scaling: str
    cause: str
    evidence: str
    content: str = ""


def entries(families: str, scalings: tuple[str, ...], cause: str, evidence: str, content: str = "") -> list[Difference]:
    """Return one entry per family and scaling that share a cause."""
    return [
        Difference(TRANSFORMERS, family, scaling, cause, evidence, content)
        for family, scaling in product(families.split(), scalings)
    ]


_NESTED = """
    beam cohere_compass deepseek_v4 diffusion_gemma dory dots3_note embedding_gemma2 gemma3 gemma3n gemma4
    gemma4_unified laguna lfm3 mellum mimo_v2_flash modernbert modernbert_decoder neomme olmo3 step3p7 t5gemma2
    ultrabert zaya
"""

_WITH_SECTIONS = (
    "default", "linear", "dynamic", "yarn", "yarn mscale", "yarn attention", "yarn untruncated", "yarn betas",
    "longrope", "longrope factor", "longrope attention", "llama3", "proportional", "proportional factor", "alpha",
)  # fmt: skip

KNOWN_DIFFERENCES: tuple[Difference, ...] = (
    *entries(
        _NESTED,
        ("yarn untruncated",),
        "with parameters per layer type, truncate is read from the outer dict, where it never stands",
        "modeling_rope_utils._compute_yarn_parameters reads config.rope_parameters['truncate'], and every other "
        "parameter from the layer's own dict; the same block given flat is honoured, as gpt-oss is published",
    ),
    *entries(
        "phimoe",
        ("longrope",),
        "long_factor is never used, beyond the original length either",
        "PhimoeRotaryEmbedding.forward calls rope_init_fn(config) without seq_len; LongRoPE (arXiv:2402.13753) and "
        "Microsoft's modeling_phimoe.py use the long factors beyond original_max_position_embeddings",
    ),
    *entries(
        "deepseek_v4",
        ("yarn", "yarn mscale", "yarn betas"),
        "cos and sin of the compressed layers are scaled when the parameters come per layer type",
        "configuration_deepseek_v4.py sets attention_factor to 1.0 for flat parameters, because the V4 reference does "
        "not scale; it forgets to for nested ones",
    ),
    *entries(
        "embedding_gemma2 gemma4_unified ministral3",
        ("llama3",),
        "one frequency is 4 float32 ulp apart",
        "torch's float32 power is an ulp off there and the blend between the bands multiplies a relative difference by "
        "up to four; the formula in float64 lies between the two, 2.3 and 3.2 ulp from them",
    ),
    *entries(
        "olmo3",
        ("rope_theta",),
        "sliding layers get the class's base, 500000, whatever rope_theta says",
        "Olmo3Config.convert_rope_params_to_dict pops rope_theta for the full layers, so the sliding layers do not "
        "find it; the published OLMo 3 files state one rope_theta, 500000, for the model",
    ),
    *entries(
        "dbrx",
        ("attn_config",),
        "the base stays 10000 whatever attn_config.rope_theta says",
        "databricks/dbrx-base is published with attn_config.rope_theta 500000 and its modeling_dbrx.py turns by it",
    ),
    *entries(
        "minimax",
        ("rotary_dim",),
        "whole heads turn whatever rotary_dim says",
        "MiniMaxAI/MiniMax-Text-01 is published with rotary_dim 64 and head_dim 128; its own modeling file passes the "
        "other channels through, and so do vLLM and SGLang. For MiniMax-M2 transformers mended it (pull request 48486)",
    ),
    *entries(
        "mimo_v2_flash",
        ("legacy keys",),
        "top-level rope_theta, swa_rope_theta and partial_rotary_factor are not read",
        "MiMoV2FlashConfig.convert_rope_params_to_dict returns its arguments untouched; XiaomiMiMo/MiMo-V2-Flash is "
        "published in this spelling, with the values of the class's defaults",
    ),
    *entries(
        "hunyuan_vl",
        _WITH_SECTIONS,
        "within pictures the two channels of a pair turn by the positions of two axes: norms change, it is no rotation",
        "HunYuanVLRotaryEmbedding.recomposition_frequencies doubles each section, where Tencent's modeling files "
        "repeat the list of sections (`[…] * 2`), as Qwen2-VL does, and still takes the axis modulo their number; "
        "vLLM's XDRotaryEmbedding and mlx-vlm give both channels one axis, and llama.cpp rotates hunyuan_vl as M-RoPE",
        content="picture",
    ),
)


def known_difference(family: str, scaling: str, content: str) -> Difference | None:
    """Return the entry for a family, a rope type or variant, and a content, None where there is none."""
    found = (entry for entry in KNOWN_DIFFERENCES if (entry.family, entry.scaling) == (family, scaling))
    return next((entry for entry in found if entry.content in ("", content)), None)
