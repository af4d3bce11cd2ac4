"""Prefill on one machine, decode on another: the key cache of a transformers model goes on in mlx-lm, and back.

    python cache_hand_off.py prefill MODEL "a prompt" cache.safetensors    # PyTorch, say on a CUDA workstation
    python cache_hand_off.py decode MODEL cache.safetensors                # MLX, say on a Mac

MODEL is a folder with config.json, safetensors and a tokenizer; the same on both sides. Keys are cached as they were
rotated, so both sides must mean the same rotation: Tightrope makes it so, and the file has a record of it
(`tightrope.keys`) and a hash of the weights. Keys that were rotated at other positions, in another layout or not at
all are moved; keys of another rotation or other weights are refused. One prompt without padding; models whose layers
all have keys and values (not state-space layers).
"""

import hashlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import tightrope
from tightrope.keys import KeyRecord, move, record_of

TOKENS = 64


def prefill(model: Any, tokens: list[int], path: str, weights: str | None = None) -> None:
    """Run a patched transformers model over all tokens but the last, and save its cache."""
    import torch

    _check_patched(model)
    if len(tokens) < 2:
        raise ValueError(f"a prompt must have two tokens or more, got {len(tokens)}: the last one starts the decoding")
    from transformers import DynamicCache

    _check_patched(model)
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        forward(model, tokens[:-1], cache)
    save_torch(cache, tokens, tightrope.read(model.config), path, weights)


def save_torch(cache: Any, tokens: list[int], rope: tightrope.ModelRope, path: str, weights: str | None = None) -> None:
    """Save a transformers cache, with its tokens and its rotation."""
    from safetensors.torch import save_file

    arrays = {}
    for index, layer in enumerate(cache.layers):
        arrays[f"{index}.keys"], arrays[f"{index}.values"] = layer.keys.contiguous(), layer.values.contiguous()
    save_file(arrays, path, metadata=_metadata(tokens, rope, arrays, weights))


def load_torch(path: str, model: Any, weights: str | None = None) -> tuple[Any, list[int]]:
    """Return a transformers cache for a model from a file, and the tokens it was made of."""
    from safetensors import safe_open
    from transformers import DynamicCache

    _check_patched(model)
    cache = DynamicCache(config=model.config)
    with safe_open(path, framework="pt") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
        slides = [hasattr(layer, "cumulative_length") for layer in cache.layers]
        tokens = _moved(arrays, file.metadata(), tightrope.read(model.config), slides, weights)
        for index, layer in enumerate(cache.layers):
            keys, values = (arrays[f"{index}.{part}"].to(model.device) for part in ("keys", "values"))
            cache.update(keys, values, index)
            if hasattr(layer, "cumulative_length"):  # a sliding window counts what fell out of it, too
                layer.cumulative_length = len(tokens) - 1
    return cache, tokens


def save_mlx(
    cache: list[Any], tokens: list[int], rope: tightrope.ModelRope, path: str, weights: str | None = None
) -> None:
    """Save an mlx-lm cache, with its tokens and its rotation."""
    import mlx.core as mx

    arrays = {}
    for index, layer in enumerate(cache):
        for part in ("keys", "values"):
            arrays[f"{index}.{part}"] = _in_order(layer, getattr(layer, part))
    mx.save_safetensors(path, arrays, metadata=_metadata(tokens, rope, arrays, weights))


def load_mlx(
    path: str, model: Any, rope: tightrope.ModelRope, weights: str | None = None
) -> tuple[list[Any], list[int]]:
    """Return an mlx-lm cache for a model from a file, and the tokens it was made of."""
    import mlx.core as mx
    from mlx_lm.models.cache import make_prompt_cache

    arrays, metadata = mx.load(path, return_metadata=True)
    cache = make_prompt_cache(model)
    tokens = _moved(arrays, metadata, rope, [hasattr(layer, "max_size") for layer in cache], weights)
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


def _metadata(
    tokens: list[int], rope: tightrope.ModelRope, arrays: dict[str, Any], weights: str | None
) -> dict[str, str]:
    """Return the record of what is cached: all tokens but the last, which starts the decoding."""
    count = len(tokens) - 1
    kinds = tuple(_kind(rope, index, arrays, count) for index in range(len(arrays) // 2))
    keys = arrays[f"0.{_ROTATED[kinds[0]]}"]
    made = {"dtype": str(keys.dtype).rpartition(".")[2], "kv_heads": keys.shape[1], "kind": kinds}
    record = record_of(rope, range(count), tokens=tuple(tokens[:-1]), weights=weights, **made)
    return {**record.to_metadata(), "next": json.dumps(tokens[-1])}


# Where a layer holds what was rotated: transformers and mlx-lm keep MLA's latent keys first, their rotated part second.
_ROTATED = {"full": "keys", "window": "keys", "latent": "values"}


def _kind(rope: tightrope.ModelRope, layer: int, arrays: dict[str, Any], count: int) -> str:
    """Return what a layer holds of so many tokens."""
    keys, config = arrays[f"{layer}.keys"], rope.for_layer(layer)
    if config is not None and keys.shape[-1] not in (config.head_dim, config.rotary_dim):
        return "latent"
    return "full" if keys.shape[2] >= count else "window"


def _moved(
    arrays: dict[str, Any], metadata: dict[str, str], rope: tightrope.ModelRope, slides: list[bool], weights: str | None
) -> list[int]:
    """Move the keys of a file to what this model would have cached, and return the tokens.

    Args:
        arrays: Keys and values, by layer; keys are replaced.
        metadata: Of the file.
        rope: Of this model, which has them at positions 0, 1, …
        slides: By layer, whether this model's cache needs no more than the latest tokens.
        weights: The hash of this model's weights.

    Raises:
        RopeConfigError: They are of another rotation or of other weights: attention would mix two models.
    """
    theirs = KeyRecord.from_metadata(metadata)
    kinds = tuple("full" if kind == "window" and not fits else kind
                  for kind, fits in zip(theirs.kinds, slides, strict=True))  # fmt: skip
    made = {"dtype": theirs.dtype, "kv_heads": theirs.kv_heads, "tokens": theirs.tokens, "kind": kinds}
    ours = record_of(rope, range(theirs.count), weights=weights, **made)
    for layer, kind in enumerate(kinds):
        name = f"{layer}.{_ROTATED[kind]}"
        arrays[name] = move(arrays[name], theirs, ours, layer=layer)
    return [*(theirs.tokens or ()), int(json.loads(metadata["next"]))]


def weights_of(folder: str) -> str:
    """Return a hash of a model's weights, the same for both frameworks, which read the same files."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _check_patched(model: Any) -> None:
    """Raise for a model whose own rotation is at work, which need not be what its configuration says."""
    try:
        tightrope.patch(model)
    except tightrope.RopeConfigError as error:
        if "patched already" in str(error):
            return
        raise
    tightrope.unpatch(model)
    raise ValueError("the model must be patched (tightrope.patch): its own rotation is not what the file would say")


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
        prefill(model, AutoTokenizer.from_pretrained(folder)(prompt)["input_ids"], path, weights_of(folder))
    elif arguments[:1] == ["decode"] and len(arguments) == 3:
        _, folder, path = arguments
        model, tokenizer = tightrope.load_mlx(folder)
        cache, tokens = load_mlx(path, model, tightrope.read(folder), weights_of(folder))
        print(tokenizer.decode(decode_mlx(model, cache, tokens[-1])))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
