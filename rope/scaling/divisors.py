"""`divisors`: one given divisor per pair, as the `rope_freqs` tensor of a GGUF file holds them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tightrope.rope.arithmetic import Arithmetic, FloatArray
from tightrope.rope.scaling import Rope, Scaling, number, numbers, rope_type


@rope_type("divisors")
@dataclass(frozen=True, kw_only=True)
class Divisors(Scaling):
    """inv_freq[i] = base ** (-2 i / rotary_dim) / divisor[i], at every length; cos and sin times attention_factor.

    The freq_factors and the attn_factor of ggml's rope (ggml.h, `ggml_rope_ext`).
    """

    divisor: tuple[float, ...] = numbers(above=0)
    attention_factor: float = number(1.0, above=0)

    def check(self, rope: Rope) -> Iterator[str]:
        if len(self.divisor) != rope.pairs:
            yield f"divisor must have one entry per rotated pair ({rope.pairs}), got {len(self.divisor)}"

    def frequencies(self, rope: Rope, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
        divisor = np.array(self.divisor, arithmetic.dtype)
        inv_freq = arithmetic.divided_powers(rope.base, rope.exponent_dim, rope.pairs, divisor)
        return inv_freq, float(self.attention_factor)
