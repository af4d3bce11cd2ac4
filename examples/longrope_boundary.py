"""A key cache that crosses LongRoPE's original length: three ways to go on, and what each costs in attention scores.

    python longrope_boundary.py [torch | mlx]

The same keys, before rotation, in float32. The cache holds as many as the original length, so they were rotated by the
short factors; one token later the long factors hold. A forward call of transformers leaves the cached keys as they are
(`generate` of the Phi families alone drops the cache there and prefills once more); `rerotate` moves them. The scores
of the next query against the whole cache are compared with exact ones, in float64.
"""

import sys
from typing import Any

import numpy as np

import tightrope
from tightrope.rope import reference

ORIGINAL = 4096
PAIRS = 48

ROPE = tightrope.RopeConfig(
    head_dim=2 * PAIRS, rotary_dim=2 * PAIRS, base=10000.0, layout="half", max_position_embeddings=131_072
).replace(
    scaling={
        "rope_type": "longrope",
        "short_factor": [1.0 + 0.02 * pair for pair in range(PAIRS)],
        "long_factor": [1.0 + 1.3 * pair for pair in range(PAIRS)],
        "original_max_position_embeddings": ORIGINAL,
    }
)


def scores(query: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the attention scores of the query against every key, in float64."""
    return (query.astype(np.float64) * keys.astype(np.float64)).sum(-1) / np.sqrt(query.shape[-1])


def caches(backend: Any, keys: np.ndarray) -> dict[str, np.ndarray]:
    """Return the cache after the boundary, by what was done about it."""
    device = backend.devices()[0]
    module = backend.RotaryEmbedding(ROPE)
    at = np.arange(ORIGINAL)

    def cached(**arguments: Any) -> Any:
        return module(backend.asarray(keys, "float32", device), positions=at, **arguments)

    short, long = (tightrope.frequencies(ROPE, length) for length in (ORIGINAL, ORIGINAL + 1))
    kept = backend.to_numpy(cached(seq_len=ORIGINAL))
    return {
        "left as it was (transformers' forward)": kept,
        "moved (rerotate)": backend.to_numpy(module.rerotate(cached(seq_len=ORIGINAL), at, short, long)),
        "recomputed from scratch": backend.to_numpy(cached(seq_len=ORIGINAL + 1)),
    }


def errors(name: str) -> dict[str, float]:
    """Return the largest error of a score for each way, in units of the standard deviation of the scores."""
    rng = np.random.default_rng(0)
    keys = rng.standard_normal((1, 1, ORIGINAL, ROPE.head_dim)).astype(np.float32)
    query = rng.standard_normal((1, 1, 1, ROPE.head_dim)).astype(np.float32)

    def exact(x: np.ndarray, positions: np.ndarray) -> np.ndarray:
        cos, sin = reference.cos_sin(ROPE, positions[None], seq_len=ORIGINAL + 1)
        return reference.rotate(x, cos[:, None], sin[:, None], layout="half")

    rotated = exact(query, np.array([ORIGINAL]))
    true = scores(rotated, exact(keys, np.arange(ORIGINAL)))
    found = caches(tightrope.load_backend(name), keys)
    return {way: float(np.abs(scores(rotated, cache) - true).max() / true.std()) for way, cache in found.items()}


def main() -> None:
    """Print the errors."""
    name = sys.argv[1] if len(sys.argv) > 1 else tightrope.backends.available()[0]
    print(f"LongRoPE, {ORIGINAL:,} keys cached, which is its original length, then one token more, {name}")
    for way, error in errors(name).items():
        print(f"  {way:<38}  largest error of a score {error:.1e} standard deviations")


if __name__ == "__main__":
    main()
