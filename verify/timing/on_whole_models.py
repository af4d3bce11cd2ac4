"""Whole models, patched beside unpatched: what a decode step and a prefill cost, on the host and in all."""

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median
from typing import Any, Final

from tightrope.backends.patching import patch

# A small Llama of many layers: what is paid for each layer shows.
LAYERS: Final = 28
_PROMPT: Final = 64
_CONFIG: Final[dict[str, Any]] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
    "vocab_size": 256, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
}  # fmt: skip

Step = Callable[[], tuple[float, float]]
"""Returns seconds until the call returned, and until its result was there."""


@dataclass(frozen=True)
class WholeRow:
    """What patching costs a whole model in one phase; medians, ratios of patched by unpatched within a round.

    Attributes:
        library: `"transformers"`, `"mlx-lm"`.
        phase: `"prefill"` of 64 tokens or `"decode"` of one.
        host, whole: Seconds of the patched model until the call returns, and until its result is there.
        host_ratio, whole_ratio: The same by the unpatched model's.
    """

    library: str
    phase: str
    host: float
    whole: float
    host_ratio: float
    whole_ratio: float


def whole_models(rounds: int) -> list[WholeRow]:
    """Return a row for each phase of each library that is installed."""
    makers = {"transformers": (_transformers, "transformers"), "mlx-lm": (_mlx_lm, "mlx_lm")}
    rows: list[WholeRow] = []
    for library, (make, package) in makers.items():
        if find_spec(package) is None:
            continue
        plain, patched = make(), make(patch)
        for phase in ("prefill", "decode"):
            rows.append(_row(library, phase, plain(phase), patched(phase), rounds))
    return rows


def _row(library: str, phase: str, plain: Step, patched: Step, rounds: int) -> WholeRow:
    for step in (plain, patched) * 3:
        step()
    host, whole, host_ratio, whole_ratio = [], [], [], []
    for number in range(rounds):
        measured = {step: step() for step in ((plain, patched) if number % 2 else (patched, plain))}
        before, after = measured[plain], measured[patched]
        host.append(after[0])
        whole.append(after[1])
        host_ratio.append(after[0] / before[0])
        whole_ratio.append(after[1] / before[1])
    return WholeRow(library, phase, median(host), median(whole), median(host_ratio), median(whole_ratio))


def _timed(call: Callable[[], Any], finish: Callable[[Any], object]) -> tuple[float, float]:
    start = time.perf_counter()
    result = call()
    returned = time.perf_counter()
    finish(result)
    return returned - start, time.perf_counter() - start


def _transformers(patch: Callable[..., object] | None = None) -> Callable[[str], Step]:
    import torch
    import transformers

    torch.manual_seed(0)
    model: Any = transformers.LlamaForCausalLM(transformers.LlamaConfig(**_CONFIG))
    model.eval()
    if patch:
        patch(model)

    # transformers 5.24 calls `cache` what was past_key_values before.
    word = "cache" if "cache" in inspect.signature(type(model).forward).parameters else "past_key_values"

    def steps(phase: str) -> Step:
        prompt, token = torch.arange(_PROMPT)[None] % 256, torch.tensor([[3]])
        with torch.inference_mode():
            cache = {word: model(prompt, use_cache=True).past_key_values}

        def step() -> tuple[float, float]:
            with torch.inference_mode():
                call = (lambda: model(prompt)) if phase == "prefill" else lambda: model(token, **cache)
                return _timed(call, lambda result: None)

        return step

    return steps


def _mlx_lm(patch: Callable[..., object] | None = None) -> Callable[[str], Step]:
    import mlx.core as mx
    from mlx_lm.models import llama
    from mlx_lm.models.cache import make_prompt_cache

    mx.random.seed(0)
    arguments: Any = llama.ModelArgs
    model: Any = llama.Model(arguments.from_dict(_CONFIG))
    mx.eval(model.parameters())
    if patch:
        patch(model, _CONFIG)

    def steps(phase: str) -> Step:
        prompt, token = mx.arange(_PROMPT)[None], mx.array([[3]])
        cache: Any = make_prompt_cache(model)
        mx.eval(model(prompt, cache=cache))
        call = (lambda: model(prompt, cache=make_prompt_cache(model))) if phase == "prefill" else (
            lambda: model(token, cache=cache)
        )  # fmt: skip
        return lambda: _timed(call, mx.eval)

    return steps
