"""Where inputs begin, and how they are changed: valid files of each kind, failures of the past, mutations of both."""

import json
import random
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tightrope.rope.scaling import rope_types
from tightrope.verify.gallery import GALLERY

CORPUS = Path(__file__).parent / "corpus"

VALUES = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 10**400, 127, 0.0, -0.0, 1e-320, 1e308, 0.5, "", "x",
    "\x1b[2J", "\ud800", [], [[]], {}, {"": 0}, float("nan"), float("inf"), "full_attention", *rope_types(),
]  # fmt: skip
KEYS = [
    "rope_theta", "rope_scaling", "rope_parameters", "head_dim", "hidden_size", "num_attention_heads", "layer_types",
    "num_hidden_layers", "partial_rotary_factor", "qk_rope_head_dim", "text_config", "vision_config", "model_type",
    "factor", "type", "rope_type", "short_factor", "long_factor", "mrope_section", "rope_tetha", "swa_rope_theta",
]  # fmt: skip
INTEGERS = [0, 1, 2, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]


def seeds(target: str) -> list[bytes]:
    """Return valid inputs of a target and its failures of the past."""
    kind = "json" if target == "dict" else target
    kept = [path.read_bytes() for path in sorted((CORPUS / kind).iterdir())]
    return [*_VALID[target](), *kept]


def _json_seeds() -> list[bytes]:
    return [json.dumps(config).encode() for config in GALLERY.values()]


def _command_seeds() -> list[bytes]:
    config = _json_seeds()[1]
    lines = (
        "inspect\nFILE", "validate\nFILE\n--strict", "convert\nFILE\n--to\nv5", "fingerprint\nFILE",
        'inspect\nFILE\n--rope\n{"rope_type": "yarn", "factor": 4.0}', "inspect\nFILE\n--tower\nvision",
    )  # fmt: skip
    return [line.encode() + b"\n\n" + config for line in lines]


def _gguf_seeds() -> list[bytes]:
    import numpy as np

    from samples import gguf_files

    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.gguf"
        for architecture in ("llama", "qwen2", "gemma3", "gpt-oss", "mistral3", "deepseek2"):
            factors = {"rope_freqs": np.ones(32, np.float32)} if architecture == "llama" else None
            others = {"tokenizer.ggml.tokens": ["a", "b", "c"]}
            keys = {**gguf_files.SHAPE, "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}
            gguf_files.write(path, architecture, keys, factors, others)
            found.append(path.read_bytes())
    return found


def _golden_seeds() -> list[bytes]:
    from samples import golden_files

    with tempfile.TemporaryDirectory() as folder:
        return [golden_files.recorded(Path(folder)).read_bytes()]


_VALID = {
    "dict": _json_seeds, "json": _json_seeds, "gguf": _gguf_seeds, "golden": _golden_seeds, "command": _command_seeds,
}  # fmt: skip


def mutated(target: str, start: list[bytes], seed: int) -> Iterator[bytes]:
    """Yield changed inputs for ever, the same ones for the same seed."""
    rng = random.Random(seed)
    structured = target in ("dict", "json", "command")
    while True:
        data = rng.choice(start)
        if structured and rng.random() < 0.75:
            yield _with_values(rng, data)
        else:
            yield _with_bytes(rng, data, rng.choice(start))


def _with_values(rng: random.Random, data: bytes) -> bytes:
    """Return JSON with keys and values exchanged, added and taken away."""
    words, gap, content = data.rpartition(b"\n\n")
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return _with_bytes(rng, data, data)
    for _ in range(rng.randint(1, 4)):
        tree = _changed(rng, tree)
    # Lone surrogates stay escapes, as in a file that holds them.
    return words + gap + json.dumps(tree).encode()


def _changed(rng: random.Random, tree: object) -> object:
    if isinstance(tree, dict) and tree and rng.random() < 0.8:
        key = rng.choice(list(tree))
        return rng.choice((
            lambda: {**tree, key: _changed(rng, tree[key])},
            lambda: {**tree, key: rng.choice(VALUES)},
            lambda: {**tree, rng.choice(KEYS): rng.choice(VALUES)},
            lambda: {one: value for one, value in tree.items() if one != key},
            lambda: {**tree, rng.choice(KEYS): tree[key]},
            lambda: {**tree, rng.choice(KEYS): dict(tree)},
        ))()  # fmt: skip
    if isinstance(tree, list) and tree and rng.random() < 0.5:
        index = rng.randrange(len(tree))
        return [*tree[:index], _changed(rng, tree[index]), *tree[index + rng.randint(0, 1) :]]
    return rng.choice(VALUES)


def _with_bytes(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Return data with bytes flipped, cut, repeated, or taken from another input."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(changed) + 1)
        length = min(rng.choice((1, 2, 4, 8, 64)), len(changed) - at)
        kind = rng.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[at : at + length]
        elif kind == 2:
            changed[at:at] = changed[at : at + length]
        elif kind == 3:
            changed[at : at + 8] = struct.pack("<Q", rng.choice(INTEGERS))
        elif kind == 4:
            start = rng.randrange(len(other) + 1)
            changed[at : at + length] = other[start : start + length]
        else:
            changed = changed[:at]
    return bytes(changed)
