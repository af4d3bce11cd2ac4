"""How long a patched transformers model takes against the same model unpatched, and how much of that is rotation.

    python patched_speed.py

A Llama of 16 layers with random weights, on the CPU unless told otherwise: prefill of 2048 tokens and one decode step
behind them, in rounds in which the two take turns at going first. Lower quartiles as ratios: what else the machine does
only ever adds time. Times themselves say little beyond the machine that they were taken on.
"""

import inspect
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

import tightrope

PREFILL = 2048
ROUNDS = {"prefill": 4, "decode": 100}


def model(device: str, dtype: torch.dtype) -> Any:
    """Return a small Llama: four query heads to a key head, as its larger relatives have them."""
    config = LlamaConfig(
        hidden_size=512, intermediate_size=1408, num_hidden_layers=16, num_attention_heads=8, num_key_value_heads=2,
        head_dim=64, vocab_size=4096, rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
    )  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(config).to(device, dtype).eval()


def now(device: str) -> float:
    """Return seconds, once the device has done what it was given."""
    if device != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()


def timed(call: Callable[[], object], device: str) -> float:
    """Return the seconds that a call takes."""
    start = now(device)
    call()
    return now(device) - start


class Rotation:
    """Counts the time spent in a model's rotation: its angles, and the function that applies them."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.seconds = 0.0

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time counted."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            start = now(self.device)
            result = function(*args, **kwargs)
            self.seconds += now(self.device) - start
            return result

        return counted


def share(llama: Any, call: Callable[[], object], device: str) -> float:
    """Return the part of a call's time that its rotation takes; a GPU is waited for before and after each rotation."""
    rotation = Rotation(device)
    scope = inspect.unwrap(llama.model.layers[0].self_attn.forward).__globals__
    apply, rotary = scope["apply_rotary_pos_emb"], llama.model.rotary_emb
    own_forward = rotary.forward
    scope["apply_rotary_pos_emb"], rotary.forward = rotation.of(apply), rotation.of(own_forward)
    try:
        total = timed(call, device)
    finally:
        scope["apply_rotary_pos_emb"] = apply
        del rotary.forward
    return rotation.seconds / total


def main(device: str = "cpu", dtype: str = "float32") -> None:
    """Print the table."""
    models = {patched: model(device, getattr(torch, dtype)) for patched in (False, True)}
    tightrope.patch(models[True])
    tokens = torch.randint(0, 4096, (1, PREFILL), device=device)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {device}, {dtype}, {PREFILL} tokens")
    print(f"{'':10}{'patched / unpatched':>22}{'rotation before':>18}{'after':>10}")
    with torch.inference_mode():
        caches = {patched: DynamicCache(config=llama.config) for patched, llama in models.items()}
        for patched, llama in models.items():
            llama(tokens, None, None, caches[patched])
        print(row("prefill", models, lambda patched: models[patched](tokens, use_cache=False), device))
        print(row("decode", models, lambda patched: decode(models[patched], tokens[:, :1], caches[patched]), device))


def decode(llama: Any, token: torch.Tensor, cache: Any) -> None:
    """Run one step behind a cache, and take it back."""
    llama(token, None, None, cache)  # by place: transformers 5.24 calls it cache, before it was past_key_values
    cache.crop(-1)


def row(name: str, models: dict[bool, Any], call: Callable[[bool], object], device: str) -> str:
    """Return one line of the table."""
    times: dict[bool, list[float]] = {False: [], True: []}
    shares: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(ROUNDS[name]):
        for patched in (False, True) if turn % 2 else (True, False):
            times[patched].append(timed(lambda patched=patched: call(patched), device))
            shares[patched].append(share(models[patched], lambda patched=patched: call(patched), device))
    ratio = quartile(times[True]) / quartile(times[False])
    before, after = (statistics.median(shares[patched]) for patched in (False, True))
    return f"{name:10}{ratio:>22.3f}{before:>17.1%}{after:>10.1%}"


def quartile(times: list[float]) -> float:
    """Return the time that a quarter of the calls stayed below."""
    return statistics.quantiles(times, n=4, method="inclusive")[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
