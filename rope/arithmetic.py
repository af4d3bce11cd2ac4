"""The two arithmetics in which frequencies are computed, each with the same bits on every platform.

`EXACT` gives float64, each function correctly rounded: libm differs between Linux, macOS and CPU generations, so
logarithms and powers are taken in `decimal` and rounded once. `FLOAT32` follows transformers step by step: float32
exponent, float32 power, float32 reciprocal.

A rope type writes its formula once, against `Arithmetic`; the arithmetic decides the rounding.
"""

import math
from decimal import Context, Decimal
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

_DECIMAL = Context(prec=40)
_FRACTION_BITS: Final = 128


def ln(value: float) -> float:
    """Return the natural logarithm of value > 0, correctly rounded to float64."""
    return float(_DECIMAL.ln(Decimal(value)))


class Arithmetic(Protocol):
    """What the formula of a rope type may use beyond + − × ÷ on arrays and Python floats."""

    @property
    def dtype(self) -> np.dtype[np.floating[Any]]:
        """The dtype of what `powers` returns."""

    def powers(self, base: float, dim: int, count: int) -> FloatArray:
        """Return base ** (-2 i / dim) for i < count."""

    def divided_powers(self, base: float, dim: int, count: int, divisor: float | FloatArray) -> FloatArray:
        """Return base ** (-2 i / dim) / divisor for i < count."""

    def length(self, seq_len: int) -> float:
        """Return a sequence length known only at run time, as a scalar of this arithmetic."""

    def power(self, base: float, exponent: float) -> float:
        """Return base ** exponent for base > 0."""


class _Exact:
    """float64; powers correctly rounded, everything else plain IEEE arithmetic."""

    dtype: np.dtype[np.floating[Any]] = np.dtype(np.float64)

    def powers(self, base: float, dim: int, count: int) -> FloatArray:
        return _geometric(float(base), dim, count)

    def divided_powers(self, base: float, dim: int, count: int, divisor: float | FloatArray) -> FloatArray:
        return self.powers(base, dim, count) / divisor

    def length(self, seq_len: int) -> float:
        return float(seq_len)

    def power(self, base: float, exponent: float) -> float:
        # Half the time of decimal's own power, which dynamic NTK would pay for every new length.
        return float(_DECIMAL.exp(_DECIMAL.multiply(_DECIMAL.ln(Decimal(base)), Decimal(exponent))))


class _Float32:
    """float32, one rounding per operation, in the order in which transformers applies them.

    Powers are taken in float64 and rounded: torch's own float32 power differs by one ulp for 0.8 % of frequencies.
    """

    dtype: np.dtype[np.floating[Any]] = np.dtype(np.float32)

    def powers(self, base: float, dim: int, count: int) -> FloatArray:
        return np.float32(1) / self._positive_powers(base, dim, count)

    def divided_powers(self, base: float, dim: int, count: int, divisor: float | FloatArray) -> FloatArray:
        return np.float32(1) / (np.asarray(divisor, np.float32) * self._positive_powers(base, dim, count))

    def length(self, seq_len: int) -> float:
        # transformers holds the running length in a tensor, which makes the arithmetic on it float32.
        return cast(float, np.float32(seq_len))

    def power(self, base: float, exponent: float) -> float:
        value = np.power(np.float64(base), exponent)
        return cast(float, np.float32(value)) if isinstance(base, np.float32) else float(value)

    @staticmethod
    def _positive_powers(base: float, dim: int, count: int) -> FloatArray:
        exponents = np.arange(count, dtype=np.float32) * np.float32(2) / np.float32(dim)
        return np.power(np.float64(base), exponents.astype(np.float64)).astype(np.float32)


def _geometric(base: float, dim: int, count: int) -> FloatArray:
    """Return base ** (-2 i / dim): one ln and one exp, then a geometric progression in fixed point.

    Each term is off by less than `count` · 2⁻¹²⁷ of itself: rounding it to float64 gives the correctly rounded power
    unless that lies nearer than this to the middle between two floats, which chance brings about once in 2⁶⁰ terms.
    """
    # The last term is about 1 / base: with the base's bits added, it has as many significant ones as the first.
    bits = _FRACTION_BITS + max(0, math.frexp(base)[1])
    context = Context(prec=6 + int(bits * 0.30103))
    logarithm = context.divide(context.multiply(context.ln(Decimal(base)), Decimal(-2)), Decimal(dim))
    one = 1 << bits
    ratio = int(context.multiply(context.exp(logarithm), Decimal(one)))
    terms, term = [], one
    for _ in range(count):
        terms.append(term / one)  # int / int rounds correctly
        term = (term * ratio) >> bits
    return np.array(terms, dtype=np.float64)


EXACT: Final[Arithmetic] = _Exact()
FLOAT32: Final[Arithmetic] = _Float32()
