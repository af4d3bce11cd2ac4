"""What a GGUF file does not say and its architecture decides: the pairing of the stored weights, the layers.

Source: `llama_model_rope_type` and the loaders of each model in llama.cpp (github.com/ggml-org/llama.cpp, src/).
The pairing is that of the weights as the file stores them: the converter permutes q and k of some architectures (llama)
so that neighbours pair up, where the same checkpoint's config.json speaks of halves.
"""

from dataclasses import dataclass
from typing import Literal

from tightrope.rope.config.mrope import AxisOrder
from tightrope.rope.config.terms import Layout


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """How stored weights pair: ggml's NORM, NEOX, MROPE and IMROPE.

    Attributes:
        layout: Without sections.
        order: The order of the position axes where the file has sections; sections always pair halves.
    """

    layout: Layout
    order: AxisOrder = "chunked"


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Layers that repeat with a period, one of which is another than the rest.

    Attributes:
        period: The period, where attention.sliding_window_pattern does not state it.
        first: The other one is the first of each period, not the last.
        others: `"no position"`: the other one has none. `"full"`: the rest slide, with the local base and unscaled.
        local_base: The base of the sliding layers where the file has no freq_base_swa; None: the base of the rest.
        with_window: Only a file with attention.sliding_window has the pattern.
    """

    period: int
    first: bool = False
    others: Literal["no position", "full"] = "full"
    local_base: float | None = None
    with_window: bool = False


def _pairings(names: str, pairing: Pairing) -> dict[str, Pairing]:
    return dict.fromkeys(names.split(), pairing)


_NEIGHBOURS = """
    arcee arctic baichuan bailingmoe chameleon chatglm cohere2 command-r deci deepseek deepseek2 deepseek2-ocr ernie4_5
    ernie4_5-moe glm-dsa glm4 granite granitehybrid granitemoe internlm2 llada llama llama-embed llama4 maincoder
    minicpm mistral3 mistral4 neo-bert olmo plm smollm3 xverse
"""
_HALVES = """
    apertus bailingmoe2 bitnet codeshell cogvlm dbrx dots1 dream eurobert exaone exaone4 falcon falcon-h1 gemma
    gemma-embedding gemma2 gemma3 gemma3n gemma4 glm4moe gpt-oss gptneox grok grovemoe hunyuan-dense hunyuan-moe
    hunyuan_vl jais2 jina-bert-v3 lfm2 lfm2moe llada-moe mimo2 minicpm3 minimax-m2 modern-bert nemotron nomic-bert
    nomic-bert-moe olmo2 olmoe openelm orion paddleocr pangu-embedded phi2 phi3 phimoe plamo plamo2 plamo3 qwen qwen2
    qwen2moe qwen2vl qwen3 qwen3moe qwen3next rnd1 seed_oss stablelm starcoder2
"""
_HALVES_INTERLEAVED_AXES = "qwen3vl qwen3vlmoe qwen35 qwen35moe"

PAIRINGS: dict[str, Pairing] = {
    **_pairings(_NEIGHBOURS, Pairing(layout="interleaved")),
    **_pairings(_HALVES, Pairing(layout="half")),
    **_pairings(_HALVES_INTERLEAVED_AXES, Pairing(layout="half", order="interleaved")),
}

# Neighbours only because the converter permutes q and k: the published weights pair halves.
_PERMUTED = """
    arcee arctic baichuan bailingmoe chameleon deci deepseek granite granitehybrid granitemoe internlm2 llada llama
    llama-embed minicpm mistral3 olmo smollm3 xverse
"""
PERMUTED = frozenset(_PERMUTED.split())

# Learned positions, ALiBi, relative positions or none at all.
_WITHOUT = """
    arwkv7 bert bloom clip gpt2 jais jamba jina-bert-v2 kimi-linear mamba mamba2 mpt nemotron_h nemotron_h_moe refact
    rwkv6 rwkv6qwen2 rwkv7 starcoder t5 t5encoder wavtokenizer-dec
"""
WITHOUT = frozenset(_WITHOUT.split())

REFUSED: dict[str, str] = {
    "gptj": "llama.cpp does not run it, so nothing says how the stored weights pair",
    **dict.fromkeys(
        ("afmoe", "exaone-moe", "smallthinker", "step35"),
        "which of its layers rotate, and how far, is not in the file",
    ),
}

# Latent attention: the rotated channels come last.
TAIL = frozenset({"deepseek2", "deepseek2-ocr", "glm-dsa", "minicpm3", "mistral4", "plm"})

# Latent attention whose loader takes the factor 0.1 out of yarn_log_multiplier and scales the logits by it squared.
SOFTMAX = frozenset({"deepseek2", "deepseek2-ocr", "glm-dsa", "mistral4"})

# scaling.finetuned false turns the rotation off.
SWITCHED = frozenset({"granite", "granitehybrid", "granitemoe"})

PATTERNS: dict[str, Pattern] = {
    "cohere2": Pattern(period=4, others="no position"),
    "exaone4": Pattern(period=4, others="no position", with_window=True),
    "gemma-embedding": Pattern(period=6, local_base=10_000.0),
    "gemma3": Pattern(period=6, local_base=10_000.0),
    "gemma3n": Pattern(period=5, local_base=10_000.0),
    "llama4": Pattern(period=4, others="no position"),
    "modern-bert": Pattern(period=3, first=True, local_base=10_000.0),
    "olmo2": Pattern(period=4, with_window=True),
    "smollm3": Pattern(period=4, others="no position"),
}
