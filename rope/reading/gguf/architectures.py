"""What a GGUF file does not say and its architecture decides: one row for each architecture of llama.cpp.

Source: `llama_model_rope_type` and the loader of each model in llama.cpp (github.com/ggml-org/llama.cpp, src/), and
what llama.cpp does when it is executed. The pairing is that of the weights as the file stores them: the converter
permutes q and k of some architectures (llama) so that neighbours pair up, where the same checkpoint's config.json
speaks of halves.
"""

from dataclasses import replace
from typing import Any, Final

from tightrope.rope.config.terms import Layout
from tightrope.rope.reading.gguf.columns import Architecture, LogMultiplier, Pattern, Temperature

_NEIGHBOURS: Final = """
    arcee arctic baichuan bailingmoe bailingmoe3 chameleon chatglm cohere2 cohere2moe command-r deci deepseek
    deepseek2 deepseek32 dots3note ernie4_5 ernie4_5-moe glm-dsa glm4 granite granite_swa granitehybrid granitemoe
    graniteswitch hy_v4 internlm2 llada llama llama-embed llama4 maincoder minicpm mistral3 mistral4 muse-glimmer
    nanbeige neo-bert olmo plm pockettts smollm3 xverse
"""
_HALVES: Final = """
    afmoe apertus bailingmoe2 bitnet clef codeshell cogvlm dbrx deepseek2-ocr dots1 dream eurobert exaone exaone-moe
    exaone4 falcon falcon-h1 gemma gemma-embedding gemma-embedding2 gemma2 gemma3 gemma3n gemma4 glm4moe gpt-oss
    gptneox grok grovemoe hrm_text hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 jais2 jina-bert-v3 k2-horizon laguna
    lfm2 lfm2moe llada-moe maple mellum mimo2 minicpm3 minimax-01 minimax-m2 minimax-m3 modern-bert nemotron
    nomic-bert nomic-bert-moe olmo2 olmoe openelm orion paddleocr pangu-embedded phi2 phi3 phimoe plamo plamo2
    plamo3 qwen qwen2 qwen2moe qwen2vl qwen3 qwen35 qwen35moe qwen3moe qwen3next qwen3tts qwen3vl qwen3vlmoe
    qwen4exp rnd1 seed_oss smallthinker spark2_5 stablelm starcoder2 step35 talkie
"""

_DEEPSEEK: Final = ("deepseek2", "deepseek32", "glm-dsa", "mistral4")
_LATENT: Final = (*_DEEPSEEK, "bailingmoe3", "dots3note", "hy_v4")
_INTERLEAVED: Final = ("clef", "qwen3tts", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen4exp")
_GEMMA: Final = Pattern(period=6)
_CHUNKED: Final = Pattern(period=4, others="no position", local_base=None, scaled=True)
_WINDOWED: Final = replace(_CHUNKED, with_window=True)
_STATED: Final = Pattern()

_PERMUTED: Final = """
    arcee arctic baichuan bailingmoe chameleon deci deepseek granite granite_swa granitehybrid granitemoe graniteswitch
    internlm2 llada llama llama-embed minicpm mistral3 muse-glimmer nanbeige olmo pockettts smollm3 xverse
"""

# Those that load rope_freqs, or in their place LongRoPE's tensors; those that load rope_freqs alone.
_LOADING: Final = "apertus deci granite granite_swa granitemoe llama llama-embed minicpm mistral3"
_FREQS: Final = "arcee exaone exaone-moe exaone4 gemma4 granitehybrid llama4 nanbeige step35"

# By column: what is not its default.
_COLUMNS: Final[dict[str, dict[str, Any]]] = {
    "sections": {
        **dict.fromkeys(["qwen2vl", "paddleocr", *_INTERLEAVED], "must"),
        **dict.fromkeys(["glm4", "glm4moe", "hunyuan_vl"], "may"),
    },
    "order": dict.fromkeys(_INTERLEAVED, "interleaved"),
    "side": dict.fromkeys([*_LATENT, "minicpm3", "plm"], "tail"),
    "latent_keys": dict.fromkeys(_LATENT, True),
    "alpha": {"hunyuan-dense": True, "hunyuan_vl": True},
    "softmax": dict.fromkeys(_DEEPSEEK, True),
    "log_multiplier": {
        "deepseek2": LogMultiplier(unit=0.1, equal=True),
        "deepseek32": LogMultiplier(unit=0.1),
        "mistral3": LogMultiplier(unit=1.0),
        "mistral4": LogMultiplier(unit=0.1),
    },
    "betas": dict.fromkeys(["grok", "k2-horizon", "mistral3"], True),
    "extrapolation": {"grok": True},
    "slides_scaled": dict.fromkeys(["afmoe", "gemma2", "gpt-oss", "llama4", "maple", "smallthinker", "spark2_5"], True),
    "freqs": dict.fromkeys([*_LOADING.split(), *_FREQS.split()], True),
    "factors": {
        **dict.fromkeys(_LOADING.split(), "by type"),
        **dict.fromkeys(["minicpm3", "phi3", "phimoe"], "always"),
    },
    "switched": dict.fromkeys(["granite", "granitehybrid", "granitemoe"], True),
    "rotary_layers": {"baichuan": 32},
    "fixed_base": {"cogvlm": 10_000.0, "deepseek2-ocr": 10_000.0},
    "interval": {"minimax-01": 8, **dict.fromkeys(["clef", "qwen3next", "qwen35", "qwen35moe", "qwen4exp"], 4)},
    "no_position": {"afmoe": (4, "last"), "llama4": (4, "last"), "smollm3": (4, "last"), "smallthinker": (4, "first")},
    "full_fraction": {"step35": 0.5},
    "permuted": dict.fromkeys(_PERMUTED.split(), True),
    "rope_pattern": {"granite_swa": True},
    "yarn_note": {
        "gpt-oss": "llama.cpp rounds YaRN's correction range, which gpt-oss's config.json (truncate false) does not: "
        "some frequencies differ by up to 76 % from the model's",
    },
    "note": {
        "hy_v4": "the published weights are stored as they are: llama.cpp pairs their neighbouring channels, where "
        "transformers' own class pairs halves"
    },
    "temperature": {
        "llama4": Temperature(beta=0.1, length=8192, stated=False, unrotated=True, shift=1),
        "mistral3": Temperature(),
        "mistral4": Temperature(),
        "deepseek2": Temperature(),
    },
    "pattern": {
        "afmoe": Pattern(period=4, local_base=None, scaled=True, with_window=True),
        "cohere2": replace(_CHUNKED, own_keys=False),
        "cohere2moe": replace(_CHUNKED, period=5, own_keys=False),
        "exaone4": replace(_WINDOWED, at_layers=64, own_keys=False),
        "exaone-moe": replace(_WINDOWED, own_keys=False),
        "llama4": Pattern(period=4, local_base=None, scaled=True),
        "muse-glimmer": replace(_CHUNKED, scaled=False),
        "maple": replace(_CHUNKED, period=None),
        "gemma2": Pattern(period=2, local_base=None, scaled=True),
        "gemma3": replace(_GEMMA, with_window=True),
        "gemma-embedding": _GEMMA,
        "gemma-embedding2": _GEMMA,
        "gemma3n": Pattern(period=5),
        "gemma4": _STATED,
        "laguna": Pattern(period=4, first=True, local_base=None, with_window=True, gain=False),
        "mellum": Pattern(period=4, local_base=None, with_window=True, own_keys=False, gain=False),
        "dots3note": replace(_STATED, local_base=None, scaled=True),
        "mimo2": _STATED,
        "modern-bert": Pattern(period=3, first=True),
        "olmo2": Pattern(period=4, local_base=None, with_window=True, own_keys=False, gain=False),
        "plamo3": Pattern(period=8),
        "spark2_5": replace(_STATED, local_base=None, scaled=True),
        "step35": _STATED,
        "smallthinker": replace(_STATED, period=4, first=True, local_base=None, with_window=True, scaled=True),
    },
}


def _rows() -> dict[str, Architecture]:
    layouts: dict[str, Layout] = dict.fromkeys(_NEIGHBOURS.split(), "interleaved")
    layouts |= dict.fromkeys(_HALVES.split(), "half")
    return {
        name: Architecture(layout=layout, **{column: rows[name] for column, rows in _COLUMNS.items() if name in rows})
        for name, layout in sorted(layouts.items())
    }


ARCHITECTURES: Final[dict[str, Architecture]] = _rows()

# Learned positions, ALiBi, relative positions or none at all.
_WITHOUT: Final = """
    arwkv7 bert bloom clip glm5-next gpt2 jais jamba jina-bert-v2 kimi-k3 kimi-linear mamba mamba2 mpt nemotron_h
    nemotron_h_moe refact rwkv6 rwkv6qwen2 rwkv7 starcoder t5 t5encoder wavtokenizer-dec
"""
WITHOUT: Final = frozenset(_WITHOUT.split())

_DRAFT: Final = "it drafts for another model and rotates by that one's rope"
_SEVERAL: Final = "its layers rotate keys of several kinds, which one rope a layer cannot express"
REFUSED: Final[dict[str, str]] = {
    "gptj": "llama.cpp does not run it, so nothing says how the stored weights pair",
    "dflash": _DRAFT,
    "eagle3": _DRAFT,
    "gemma4-assistant": _DRAFT,
    "deepseek4": _SEVERAL,
}
