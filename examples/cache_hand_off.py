"""Prefill on one machine, decode on another: the key cache of a transformers model goes on in mlx-lm, and back.

    python cache_hand_off.py prefill MODEL "a prompt" cache.safetensors    # PyTorch, say on a CUDA workstation
    python cache_hand_off.py decode MODEL cache.safetensors                # MLX, say on a Mac

MODEL is a folder with config.json, safetensors and a tokenizer; the same on both sides. Keys are cached as they were
rotated, so both sides must mean the same rotation: Tightrope makes it so, and the file says which one it was. One
prompt without padding; models whose layers all have keys and values (not state-space layers).
"""

import inspect
import json
import sys
from typing import Any

import tightrope

TOKENS = 64


def prefill(model: Any, tokens: list[int], path: str) -> None:
    """Run a patched transformers model over all tokens but the last, and save its cache."""
    import torch

    if len(tokens) < 2:
        raise ValueError(f"a prompt must have two tokens or more, got {len(tokens)}: the last one starts the decoding")
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        forward(model, tokens[:-1], cache)
    save_torch(cache, tokens, tightrope.read(model.config), path)


def save_torch(cache: Any, tokens: list[int], rope: tightrope.ModelRope, path: str) -> None:
    """Save a transformers cache, with its tokens and its rotation."""
    from safetensors.torch import save_file

    arrays = {}
    for index, layer in enumerate(cache.layers):
        arrays[f"{index}.keys"], arrays[f"{index}.values"] = layer.keys.contiguous(), layer.values.contiguous()
    save_file(arrays, path, metadata=_metadata(tokens, rope))


def load_torch(path: str, model: Any) -> tuple[Any, list[int]]:
    """Return a transformers cache for a model from a file, and the tokens it was made of."""
    from safetensors import safe_open
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    with safe_open(path, framework="pt") as file:
        tokens = _checked(file.metadata(), tightrope.read(model.config))
        for index, layer in enumerate(cache.layers):
            keys, values = (file.get_tensor(f"{index}.{part}").to(model.device) for part in ("keys", "values"))
            cache.update(keys, values, index)
            if hasattr(layer, "cumulative_length"):  # a sliding window counts what fell out of it, too
                layer.cumulative_length = len(tokens) - 1
    return cache, tokens


def save_mlx(cache: list[Any], tokens: list[int], rope: tightrope.ModelRope, path: str) -> None:
    """Save an mlx-lm cache, with its tokens and its rotation."""
    import mlx.core as mx

    arrays = {}
    for index, layer in enumerate(cache):
        for part in ("keys", "values"):
            arrays[f"{index}.{part}"] = _in_order(layer, getattr(layer, part))
    mx.save_safetensors(path, arrays, metadata=_metadata(tokens, rope))


def load_mlx(path: str, model: Any, rope: tightrope.ModelRope) -> tuple[list[Any], list[int]]:
    """Return an mlx-lm cache for a model from a file, and the tokens it was made of."""
    import mlx.core as mx
    from mlx_lm.models.cache import make_prompt_cache

    arrays, metadata = mx.load(path, return_metadata=True)
    tokens = _checked(metadata, rope)
    cache = make_prompt_cache(model)
    for index, layer in enumerate(cache):
        layer.keys, layer.values = (_filled(layer, arrays[f"{index}.{part}"], tokens) for part in ("keys", "values"))
        layer.offset = len(tokens) - 1
        if hasattr(layer, "max_size"):
            layer._idx = layer.keys.shape[2]
    return cache, tokens


def _in_order(layer: Any, array: Any) -> Any:
    """Return what an mlx-lm cache holds, oldest first; who reads it keeps as much as its window sees."""
    import mlx.core as mx

    if not hasattr(layer, "max_size"):
        return array[:, :, : layer.offset]
    held = min(layer.offset, array.shape[2])
    end = layer._idx if layer._idx < held else held
    return mx.concatenate([array[:, :, end:held], array[:, :, :end]], axis=2)


def _filled(layer: Any, array: Any, tokens: list[int]) -> Any:
    """Return keys or values as an mlx-lm cache holds them: a window that is full has a place for the oldest token."""
    import mlx.core as mx

    if not hasattr(layer, "max_size") or len(tokens) - 1 < layer.max_size:
        return array
    window = array[:, :, 1 - layer.max_size :]
    return mx.pad(window, ((0, 0), (0, 0), (layer.max_size - window.shape[2], 0), (0, 0)))


def _metadata(tokens: list[int], rope: tightrope.ModelRope) -> dict[str, str]:
    return {"tokens": json.dumps(tokens), "rope": json.dumps(rope.to_hf("v5"), sort_keys=True)}


def _checked(metadata: dict[str, str], rope: tightrope.ModelRope) -> list[int]:
    """Return the tokens of a file whose keys were rotated as this model rotates.

    Raises:
        ValueError: They were rotated otherwise: attention would mix two rotations.
    """
    ours = json.dumps(rope.to_hf("v5"), sort_keys=True)
    if metadata["rope"] != ours:
        raise ValueError(f"the keys were rotated by {metadata['rope']}, this model rotates by {ours}")
    tokens: list[int] = json.loads(metadata["tokens"])
    return tokens


def decode_mlx(model: Any, cache: list[Any], last: int, count: int = TOKENS) -> list[int]:
    """Return greedy tokens of an mlx-lm model that goes on from a cache."""
    import mlx.core as mx
    from mlx_lm.generate import generate_step

    return [int(token) for token, _ in generate_step(mx.array([last]), model, max_tokens=count, prompt_cache=cache)]


def decode_torch(model: Any, cache: Any, last: int, count: int = TOKENS) -> list[int]:
    """Return greedy tokens of a transformers model that goes on from a cache."""
    import torch

    tokens = [last]
    with torch.no_grad():
        for _ in range(count):
            tokens.append(int(forward(model, tokens[-1:], cache)[0, -1].argmax()))
    return tokens[1:]


def forward(model: Any, tokens: list[int], cache: Any) -> Any:
    """Return the logits of a transformers model for tokens that go on from a cache, which grows."""
    import torch

    # What transformers 5.24 calls cache was past_key_values before.
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
    return model(torch.tensor([tokens], device=model.device), use_cache=True, **{name: cache}).logits


def main(arguments: list[str]) -> None:
    """Run one side of the hand-off."""
    if arguments[:1] == ["prefill"] and len(arguments) == 4:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        _, folder, prompt, path = arguments
        device = torch.accelerator.current_accelerator() or "cpu"
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").to(device)
        print(tightrope.patch(model))
        prefill(model, AutoTokenizer.from_pretrained(folder)(prompt)["input_ids"], path)
    elif arguments[:1] == ["decode"] and len(arguments) == 3:
        _, folder, path = arguments
        model, tokenizer = tightrope.load_mlx(folder)
        cache, tokens = load_mlx(path, model, tightrope.read(folder))
        print(tokenizer.decode(decode_mlx(model, cache, tokens[-1])))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
