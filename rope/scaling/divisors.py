"""`divisors`: one given divisor per pair, as the `rope_freqs` tensor of a GGUF file holds them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tightrope.rope.arithmetic import Arithmetic, FloatArray
from tightrope.rope.scaling import Rope, Scaling, numbers, rope_type


@rope_type("divisors")
@dataclass(frozen=True, kw_only=True)
class Divisors(Scaling):
    """inv_freq[i] = base ** (-2 i / rotary_dim) / divisor[i], at every length.

    The freq_factors of ggml's rope (ggml.h, `ggml_rope_ext`).
    """

    divisor: tuple[float, ...] = numbers(above=0)

    def check(self, rope: Rope) -> Iterator[str]:
        if len(self.divisor) != rope.pairs:
            yield f"divisor must have one entry per rotated pair ({rope.pairs}), got {len(self.divisor)}"

    def frequencies(self, rope: Rope, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
        divisor = np.array(self.divisor, arithmetic.dtype)
        return arithmetic.divided_powers(rope.base, rope.exponent_dim, rope.pairs, divisor), 1.0
