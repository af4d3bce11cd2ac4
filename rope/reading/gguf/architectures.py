"""What a GGUF file does not say and its architecture decides: one row for each architecture of llama.cpp.

Source: `llama_model_rope_type` and the loader of each model in llama.cpp (github.com/ggml-org/llama.cpp, src/), and
what llama.cpp does when it is executed. The pairing is that of the weights as the file stores them: the converter
permutes q and k of some architectures (llama) so that neighbours pair up, where the same checkpoint's config.json
speaks of halves.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from tightrope.rope.config.mrope import AxisOrder
from tightrope.rope.config.terms import Layout, Side


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Layers that repeat with a period: one is another than the rest, which slide.

    Attributes:
        period: The period where attention.sliding_window_pattern does not state it; None: the file must state which
            layers slide.
        first: The other one is the first of each period, not the last.
        others: `"no position"`: the other one has none. `"full"`: it has the base and the scaling of the file.
        local_base: The base of the sliding layers where the file has no freq_base_swa; None: the base of the rest.
        with_window: Only a file with attention.sliding_window has the pattern.
        at_layers: Only a model of this number of layers has it.
        stated: attention.sliding_window_pattern counts.
        own_keys: The sliding layers read rope.freq_base_swa and rope.dimension_count_swa.
        scaled: The sliding layers are scaled as the rest.
    """

    period: int | None = None
    first: bool = False
    others: Literal["no position", "full"] = "full"
    local_base: float | None = 10_000.0
    with_window: bool = False
    at_layers: int | None = None
    stated: bool = True
    own_keys: bool = True
    scaled: bool = False


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """A factor on the query that grows with its position.

    Attributes:
        beta: Where the file has no attention.temperature_scale; None: there is none then.
        length: Where the file has no attention.temperature_length; None: rope.scaling.original_context_length.
        stated: The file's own keys count.
        unrotated: It is that of the layers without position alone.
        shift: Added to the position.
    """

    beta: float | None = None
    length: int | None = None
    stated: bool = True
    unrotated: bool = False
    shift: int = 0


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What llama.cpp's code knows of an architecture.

    Attributes:
        layout: How the stored weights pair: ggml's NORM or NEOX.
        order: The order of the position axes; sections always pair halves.
        sections: rope.dimension_sections counts, or must be there.
        side: Latent attention rotates the last channels.
        alpha: rope.scaling.alpha counts.
        pattern: Layers that differ.
        no_position: Every so many layers one has no position: the last of each period, or the first.
        interval: Every so many layers the last one attends; the others have no attention.
        temperature: What scales the query by its position.
        softmax: The loader takes the factor 0.1 out of yarn_log_multiplier and scales the logits by its gain squared.
        switched: rope.scaling.finetuned false switches the rotation off.
        rotary_layers: Only models of this number of layers rotate; others have ALiBi.
        fixed_base: The code has a base of its own, no width but the head's and no scaling.
        full_fraction: The part of rope.dimension_count that layers rotate which do not slide.
        permuted: Neighbours only because the converter permutes q and k: the published weights pair halves.
        rope_pattern: attention.rope_pattern says which layers have a position.
        yarn_note: What a person should know where the file has YaRN.
    """

    layout: Layout
    order: AxisOrder = "chunked"
    sections: Literal["none", "may", "must"] = "none"
    side: Side = "head"
    alpha: bool = False
    pattern: Pattern | None = None
    no_position: tuple[int, Literal["first", "last"]] | None = None
    interval: int | None = None
    temperature: Temperature | None = None
    softmax: bool = False
    switched: bool = False
    rotary_layers: int | None = None
    fixed_base: float | None = None
    full_fraction: float = 1.0
    rope_pattern: bool = False
    permuted: bool = False
    yarn_note: str = ""


_NEIGHBOURS: Final = """
    arcee arctic baichuan bailingmoe chameleon chatglm cohere2 cohere2moe command-r deci deepseek deepseek2
    deepseek2-ocr deepseek32 ernie4_5 ernie4_5-moe glm-dsa glm4 granite granite_swa granitehybrid granitemoe
    graniteswitch internlm2 llada llama llama-embed llama4 maincoder minicpm mistral3 mistral4 muse-glimmer nanbeige
    neo-bert olmo plm pockettts smollm3 xverse
"""
_HALVES: Final = """
    afmoe apertus bailingmoe2 bitnet codeshell cogvlm dbrx dots1 dream eurobert exaone exaone-moe exaone4 falcon
    falcon-h1 gemma gemma-embedding gemma-embedding2 gemma2 gemma3 gemma3n gemma4 glm4moe gpt-oss gptneox grok grovemoe
    hrm_text hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 jais2 jina-bert-v3 k2-horizon laguna lfm2 lfm2moe llada-moe
    maple mellum mimo2 minicpm3 minimax-01 minimax-m2 minimax-m3 modern-bert nemotron nomic-bert nomic-bert-moe olmo2
    olmoe openelm orion paddleocr pangu-embedded phi2 phi3 phimoe plamo plamo2 plamo3 qwen qwen2 qwen2moe qwen2vl
    qwen3 qwen3moe qwen3next qwen3vl qwen3vlmoe qwen35 qwen35moe qwen4exp rnd1 seed_oss smallthinker spark2_5 stablelm
    starcoder2 step35 talkie
"""

_DEEPSEEK: Final = ("deepseek2", "deepseek2-ocr", "deepseek32", "glm-dsa", "mistral4")
_GEMMA: Final = Pattern(period=6)
_CHUNKED: Final = Pattern(period=4, others="no position", local_base=None, scaled=True)
_WINDOWED: Final = replace(_CHUNKED, with_window=True)
_STATED: Final = Pattern()

_PERMUTED: Final = """
    arcee arctic baichuan bailingmoe chameleon deci deepseek granite granite_swa granitehybrid granitemoe graniteswitch
    internlm2 llada llama llama-embed minicpm mistral3 muse-glimmer nanbeige olmo pockettts smollm3 xverse
"""

# By column: what is not its default.
_COLUMNS: Final[dict[str, dict[str, Any]]] = {
    "sections": {
        **dict.fromkeys(["qwen2vl", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen4exp", "paddleocr"], "must"),
        **dict.fromkeys(["glm4", "glm4moe", "hunyuan_vl"], "may"),
    },
    "order": dict.fromkeys(["qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen4exp"], "interleaved"),
    "side": dict.fromkeys(
        ["deepseek2", "deepseek2-ocr", "deepseek32", "glm-dsa", "minicpm3", "mistral4", "plm"], "tail"
    ),
    "alpha": {"hunyuan-dense": True, "hunyuan_vl": True},
    "softmax": dict.fromkeys(_DEEPSEEK, True),
    "switched": dict.fromkeys(["granite", "granitehybrid", "granitemoe"], True),
    "rotary_layers": {"baichuan": 32},
    "fixed_base": {"cogvlm": 10_000.0},
    "interval": {"minimax-01": 8, "qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "qwen4exp": 4},
    "no_position": {"afmoe": (4, "last"), "llama4": (4, "last"), "smollm3": (4, "last"), "smallthinker": (4, "first")},
    "full_fraction": {"step35": 0.5},
    "permuted": dict.fromkeys(_PERMUTED.split(), True),
    "rope_pattern": {"granite_swa": True},
    "yarn_note": {
        "gpt-oss": "llama.cpp rounds YaRN's correction range, which gpt-oss's config.json (truncate false) does not: "
        "some frequencies differ by up to 76 % from the model's",
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
        "laguna": Pattern(period=4, first=True, local_base=None, with_window=True),
        "mellum": Pattern(period=4, local_base=None, with_window=True, own_keys=False),
        "mimo2": _STATED,
        "modern-bert": Pattern(period=3, first=True),
        "olmo2": Pattern(period=4, local_base=None, with_window=True, own_keys=False),
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
