"""What Tightrope makes of a case, and whether it is what transformers makes of it.

    inv_freq within 2 float32 ulp, compared first
    each channel within (1e-6 + 3 · 2⁻²⁴ · |position · inv_freq|) · |x|        (float32 rounding of that angle)

|x| is the norm of the pair that the channel belongs to, attention factor included. Where inv_freq differs within its
own bound, the angle differs by position times that, which is allowed too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

import tightrope
from sweep.subjects.cases import Case, heads
from tightrope.rope import reference

ULPS = 2
FLOOR = 1e-6
PER_RADIAN = 3 * 2.0**-24

Rotate = Callable[[tightrope.RopeConfig, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Disagreement:
    """How a case differs: `kind` is one of read, structure, inv_freq, rotation; `text` says the rest."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def by_reference(config: tightrope.RopeConfig, q: np.ndarray, k: np.ndarray, positions: np.ndarray):
    """Return q and k rotated by the numpy reference, batch-wide frequencies as in transformers."""
    length = int(positions.max()) + 1
    cos, sin = reference.cos_sin(config, positions, seq_len=length, precision="float32")
    return tuple(
        reference.rotate(x, cos[:, None], sin[:, None], layout=config.layout, side=config.side) for x in (q, k)
    )


def by_backend(name: str) -> Rotate:
    """Return a function that rotates with a backend, in float32, by the policy of transformers."""
    backend = tightrope.load_backend(name)
    device = next(device for device in backend.devices() if "cpu" in device)

    @lru_cache(maxsize=4096)
    def cached(config, positions, dtype, shape, width):
        module = backend.RotaryEmbedding(config, precision="float32", policy="transformers")
        positions = np.frombuffer(positions, dtype).reshape(shape)
        q, k = (backend.asarray(x, "float32", device) for x in heads(width, positions))
        rotated = module(q, k, positions=backend.asarray(positions, dtype, device))
        return tuple(backend.to_numpy(x) for x in rotated)

    def rotate(config, q, k, positions):
        return cached(config, positions.tobytes(), positions.dtype.name, positions.shape, q.shape[-1])

    return rotate


def rope_of(model: tightrope.ModelRope, case: Case) -> tightrope.RopeConfig | None:
    """Return the rope that Tightrope gives to this case's layers, None where it gives them no position."""
    if case.rope.layer_type in model.ropes:
        return model.ropes[case.rope.layer_type]
    if len(model.ropes) == 1:
        return next(iter(model.ropes.values()))
    return model.for_layer(case.rope.layer) if model.layers else None


def compare(case: Case, config: tightrope.RopeConfig, rotations: dict[str, Rotate]) -> Disagreement | None:
    """Return how the rope that was read differs from the case, None where it agrees at every position."""
    if found := _structure(case, config):
        return found
    for positions in case.positions():
        if found := _at(case, config, rotations, positions):
            return found
    return None


def _structure(case: Case, config: tightrope.RopeConfig) -> Disagreement | None:
    expected = {"head_dim": case.head_dim} | ({"axes": case.rope.axes} if case.content != "text" else {})
    for name, value in expected.items():
        if (got := getattr(config, name)) != value:
            return Disagreement("structure", f"{name} must be {value}, read {got}")
    return None


def _at(case, config, rotations, positions) -> Disagreement | None:
    freqs = tightrope.frequencies(config, int(positions.max()) + 1, precision="float32")
    theirs = case.for_family(positions)
    inv_freq = in_order_of(freqs.inv_freq, case.rope.inv_freq(theirs), axes=case.rope.axes)
    if found := _frequencies(inv_freq, freqs.inv_freq * config.direction):
        return found
    q, k = heads(case.head_dim, positions)
    expected = case.rope.rotate(q, k, theirs)
    error = allowed(config, freqs, inv_freq, positions)
    for name, rotate in rotations.items():
        for what, x, wanted, got in zip("qk", (q, k), expected, rotate(config, q, k, positions), strict=True):
            if found := _rotation(config, error, x, wanted, got):
                return Disagreement("rotation", f"{name}: {what} {found}")
    return None


def in_order_of(got: np.ndarray, expected: np.ndarray | None, *, axes: int) -> np.ndarray | None:
    """Return the expected frequencies in the order of ours: with several axes a family may store them by axis (ERNIE).

    Which pair each one rotates is then for the rotation to show.
    """
    if expected is None or axes == 1 or expected.shape != got.shape:
        return expected
    return np.sort(expected)[np.argsort(np.argsort(got))]


def allowed(config, freqs, expected: np.ndarray | None, positions: np.ndarray) -> np.ndarray:
    """Return the difference allowed per pair, in units of the pair's norm: (batch, 1, seq, pairs)."""
    inv_freq = np.abs(freqs.inv_freq.astype(np.float64))
    slack = PER_RADIAN * inv_freq if expected is None else PER_RADIAN * inv_freq + np.abs(np.abs(expected) - inv_freq)
    rotated = np.abs(_by_pair(config, positions))
    return (FLOOR + rotated * slack)[:, None] * max(freqs.attention_factor, 1.0)


def _frequencies(expected: np.ndarray | None, got: np.ndarray) -> Disagreement | None:
    if expected is None:
        return None
    if expected.shape != got.shape:
        return Disagreement("structure", f"rotary_dim must be {2 * len(expected)}, read {2 * len(got)}")
    ulps = np.abs(expected.astype(np.float64) - got) / np.spacing(np.abs(expected))
    worst = int(ulps.argmax())
    if ulps[worst] <= ULPS:
        return None
    return Disagreement(
        "inv_freq", f"[{worst}] must be {expected[worst]:.8g}, got {got[worst]:.8g} ({ulps[worst]:.3g} ulp)"
    )


def _rotation(config, error, x, expected, got) -> str | None:
    first, second = reference.pair_slices(x.shape[-1], config.pairs, config.layout, config.side)
    rest = np.ones(x.shape[-1], bool)
    rest[first] = rest[second] = False
    if (expected[..., rest] != got[..., rest]).any():
        return "has channels that transformers rotates and Tightrope does not, or the other way round"
    norm = np.hypot(x[..., first], x[..., second])
    off = np.maximum(*(np.abs(expected - got)[..., part] / norm for part in (first, second)))
    if (off <= error).all():
        return None
    row, head, token, pair = np.unravel_index((off - error).argmax(), off.shape)
    at, limit = off[row, head, token, pair], error[row, 0, token, pair]
    return f"is off by {at:.3g} |x| at row {row}, token {token}, pair {pair}; allowed {limit:.3g}"


def _by_pair(config, positions: np.ndarray) -> np.ndarray:
    """Return the position that rotates each pair: (batch, seq, pairs)."""
    if positions.ndim == 2:
        return positions[..., None]
    return np.moveaxis(positions[list(config.mrope.pair_axes(config.pairs))], 0, -1)
