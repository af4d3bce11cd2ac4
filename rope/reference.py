"""The definition of the rotation, twice: in float64 (the truth) and bit for bit (what every kernel must give).

Both are plain numpy and slow; they are the oracles of the tests and of `tightrope parity`.
Shapes: cos, sin (…, pairs); x (…, width); leading axes broadcast.
"""

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.config.terms import Layout, Side
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import Frequencies, Precision, frequencies
from tightrope.rope.phase import phase
from tightrope.rope.schedule import document_lengths

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Channels = slice | NDArray[np.int64]
DType = Literal["float64", "float32", "bfloat16", "float16"]
DTYPES: Final[tuple[DType, ...]] = ("float32", "bfloat16", "float16")
"""Of q and k, in the models that people run."""


def cos_sin(
    config: RopeConfig, positions: ArrayLike, *, seq_len: int | None = None, precision: Precision = "exact"
) -> tuple[Float64, Float64]:
    """Return cos and sin in float64, attention factor in, M-RoPE axes merged.

    Args:
        config: The rope.
        positions: Integers, (batch, seq) or (axes, batch, seq); also floats where the rope has fractional positions.
        seq_len: Tokens in context for every row; by default each document of a row by its own length.
        precision: `"exact"` phases, or `"float32"`: float32(position) · float32(inv_freq) rounded to float32.

    Returns:
        Two arrays (batch, seq, pairs).
    """
    angles, gain = _per_row(config, positions, seq_len, precision, _angles)
    return np.cos(angles) * gain, np.sin(angles) * gain


def cos_sin_bits(config: RopeConfig, positions: ArrayLike, *, seq_len: int | None = None) -> tuple[Float32, Float32]:
    """Return cos and sin in float32, bit for bit as kernels compute them in precision "exact"; see `cos_sin`."""
    phases, gain = _per_row(config, positions, seq_len, "exact", _top_bits)
    cos, sin = sincos_phase(phases.astype(np.uint32))
    return cos * gain.astype(np.float32), sin * gain.astype(np.float32)


def _per_row(
    config: RopeConfig, positions: ArrayLike, seq_len: int | None, precision: Precision, of: Any
) -> tuple[NDArray[Any], Float64]:
    """Apply `of(frequencies, positions)` to each token with the frequencies of its length; also return its factor."""
    merged = _by_pair(config, positions)
    lengths = _lengths(config, np.asarray(positions), seq_len)
    gains = np.empty((*lengths.shape, 1), np.float64)
    parts = {}
    for length in np.unique(lengths).tolist() or [0]:
        freqs = frequencies(config, max(length, 0), precision=precision)
        gains[lengths == length] = freqs.attention_factor
        parts[length] = of(freqs, merged[lengths == length])
    found = np.empty(merged.shape, next(iter(parts.values())).dtype)
    for length, part in parts.items():
        found[lengths == length] = part
    return found, gains


def _lengths(config: RopeConfig, positions: NDArray[Any], seq_len: int | None) -> NDArray[np.int64]:
    """Return the length that each token of (batch, seq) goes by."""
    if seq_len is not None or not config.scaling.follows_length:
        return np.full(positions.shape[-2:], seq_len or 0, np.int64)
    if positions.ndim == 2:
        return document_lengths(positions.astype(np.int64))
    ends = positions.max(axis=(0, 2), initial=-1) + 1
    return np.repeat(ends[:, None].astype(np.int64), positions.shape[-1], axis=1)


def _by_pair(config: RopeConfig, positions: ArrayLike) -> NDArray[Any]:
    """Return the position that rotates each pair: (batch, seq, pairs)."""
    positions = np.asarray(positions)
    if positions.dtype.kind not in ("iuf" if config.fractional else "iu"):
        raise RopeConfigError(f"positions must be integers, got {positions.dtype}")
    positions = positions if positions.dtype.kind == "f" else positions.astype(np.int64)
    if positions.ndim == 2:
        return np.repeat(positions[..., None], config.pairs, axis=-1)
    if config.mrope is None or positions.ndim != 3 or len(positions) != config.axes:
        raise RopeConfigError(f"positions must be (batch, seq) or ({config.axes}, batch, seq), got {positions.shape}")
    return np.moveaxis(positions[list(config.mrope.pair_axes(config.pairs))], 0, -1)


def _angles(freqs: Frequencies, positions: NDArray[Any]) -> NDArray[np.floating[Any]]:
    if freqs.inv_freq.dtype == np.float32:
        return (positions.astype(np.float32) * freqs.inv_freq).astype(np.float64)
    if positions.dtype.kind == "f":
        return positions.astype(np.float64) * freqs.inv_freq
    return phase(freqs.turns, positions).view(np.int64) * (np.pi / 2**63)


def _top_bits(freqs: Frequencies, positions: NDArray[Any]) -> NDArray[np.uint64]:
    if positions.dtype.kind == "f":
        raise RopeConfigError("fractional positions have no exact phase: give integers, or take cos_sin")
    return phase(freqs.turns, positions) >> np.uint64(32)


def rotate(
    x: ArrayLike, cos: Float64, sin: Float64, *, layout: Layout, side: Side = "head", transpose: bool = False
) -> Float64:
    """Return x rotated, in float64.

    y1 = x1 · cos − x2 · sin,    y2 = x1 · sin + x2 · cos        (RoFormer, arXiv:2104.09864, equation 34)

    Args:
        x: (…, width), width >= 2 · pairs; channels outside the rotation keep their values.
        cos: (…, pairs), broadcast against x without its last axis.
        sin: As cos.
        layout: Which channels form a pair, see `RopeConfig`.
        side: Which end of x is rotated, see `RopeConfig`.
        transpose: Rotate back, by the transposed matrix: the sign of sin flipped.
    """
    y = np.array(x, np.float64)
    first, second = pair_slices(y.shape[-1], cos.shape[-1], layout, side)
    x1, x2 = y[..., first].copy(), y[..., second].copy()
    s = -sin if transpose else sin
    y[..., first], y[..., second] = x1 * cos - x2 * s, x1 * s + x2 * cos
    return y


def rotate_bits(
    x: Float32, cos: Float32, sin: Float32, *, layout: Layout, side: Side = "head", transpose: bool = False,
    dtype: DType = "float32",
) -> Float32:  # fmt: skip
    """Return x rotated, bit for bit.

    y1 = fma(x1, cos, −fl(x2 · sin)),    y2 = fma(x1, sin, fl(x2 · cos)),    each rounded once to dtype

    x holds values of `dtype` in float32, and so does the result; see `rotate` for the rest.
    """
    y = np.array(x, np.float32)
    first, second = pair_slices(y.shape[-1], cos.shape[-1], layout, side)
    x1, x2 = y[..., first].copy(), y[..., second].copy()
    s = -sin if transpose else sin
    y[..., first] = round_to(fma(x1, cos, -(x2 * s)), dtype)
    y[..., second] = round_to(fma(x1, s, x2 * cos), dtype)
    return y


def pair_slices(width: int, pairs: int, layout: Layout, side: Side) -> tuple[Channels, Channels]:
    """Return the channels of the first and of the second member of every pair: as slices, else as indices."""
    start = 0 if side == "head" else width - 2 * pairs
    stop = start + 2 * pairs
    if layout == "half":
        return slice(start, start + pairs), slice(start + pairs, stop)
    if layout == "halves":
        channels = np.arange(start, stop).reshape(2, 2, pairs // 2)
        return channels[:, 0].reshape(-1), channels[:, 1].reshape(-1)
    return slice(start, stop, 2), slice(start + 1, stop, 2)


def arrangements(y: NDArray[Any], *, pairs: int, layout: Layout, side: Side = "head") -> tuple[NDArray[Any], ...]:
    """Return a rotated y in every order of channels that leaves q · k as it is: its own, and de-interleaved.

    (y0, y1, y2, …) becomes (y0, y2, …, y1, y3, …), as DeepSeek's code leaves it; channels outside the rotation stay.
    """
    if layout != "interleaved":
        return (y,)
    gathered = y.copy()
    for halved, paired in zip(*(pair_slices(y.shape[-1], pairs, each, side) for each in ("half", layout)), strict=True):
        gathered[..., halved] = y[..., paired]
    return y, gathered


def fma(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Float32:
    """Return a · b + c in float32 with one rounding.

    The product is exact in float64; the sum is rounded to odd there, after which rounding to float32 is the only one
    (Boldo and Melquiond, 2008).
    """
    a64, b64, c64 = np.broadcast_arrays(*(np.asarray(v, np.float32).astype(np.float64) for v in (a, b, c)))
    with np.errstate(invalid="ignore", over="ignore"):
        product = a64 * b64
        total = product + c64
        back = total - product
        error = (product - (total - back)) + (c64 - back)
        bits = np.array(total).view(np.int64)
        inexact = (error != 0) & (bits & 1 == 0) & np.isfinite(total)
        odd = bits + np.where(inexact, np.where((error > 0) == (total > 0), 1, -1), 0)
        return odd.view(np.float64).astype(np.float32)


def sincos_phase(phase: NDArray[np.uint32]) -> tuple[Float32, Float32]:
    """Return (cos, sin) of a phase in 2⁻³² turns; at most 7.6e-8 off over all 2³² phases.

    The two highest bits, rounded, choose the quadrant; what remains, within ±1/8 turn, becomes a float t in quarter
    turns, and two polynomials with explicit fma give its sine and cosine.
    """
    phase = np.asarray(phase, np.uint32)
    quadrant = (phase + np.uint32(1 << 29)) >> np.uint32(30)
    t = (phase - (quadrant << np.uint32(30))).view(np.int32).astype(np.float32) * np.float32(2.0**-30)
    z = t * t
    tail = fma(fma(fma(z, -0.0045922888, 0.079675905), z, -0.64596295), z, -6.542104e-08)
    sine = fma(t, 1.57079637, t * tail)
    cosine = fma(fma(fma(fma(z, 0.0009040216, -0.020860288), z, 0.25366923), z, -1.2337005), z, 1.0)
    odd = (quadrant & np.uint32(1)) != 0
    sin = _flip(np.where(odd, cosine, sine), quadrant & np.uint32(2))
    cos = _flip(np.where(odd, sine, cosine), (quadrant + np.uint32(1)) & np.uint32(2))
    return cos, sin


def _flip(value: Float32, sign: NDArray[np.uint32]) -> Float32:
    """Negate where bit 1 of sign is set, by the sign bit: also right for zero."""
    flipped: Float32 = (value.view(np.uint32) ^ (sign << np.uint32(30))).view(np.float32)
    return flipped


def round_to(values: ArrayLike, dtype: DType) -> Float32:
    """Return values rounded to dtype, to nearest even, held in float32 (float64 input is rounded to float32 first)."""
    single = np.asarray(values).astype(np.float32)
    if dtype == "float16":
        with np.errstate(over="ignore"):
            return single.astype(np.float16).astype(np.float32)
    if dtype == "bfloat16":
        bits = np.array(single).view(np.uint32)
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
        return np.where(np.isnan(single), single, rounded.view(np.float32))
    return single
