"""`proportional`: the head turns at full width, but only its first pairs move."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tightrope.rope.arithmetic import Arithmetic, FloatArray
from tightrope.rope.scaling import Rope, Scaling, number, rope_type


@rope_type("proportional")
@dataclass(frozen=True, kw_only=True)
class Proportional(Scaling):
    """inv_freq[i] = base ** (-2 i / d) / factor for i < ⌊partial_rotary_factor · d / 2⌋, else 0; d = rotary_dim.

    Unlike a partial rotation, lane i is paired with i + d / 2 of the whole head, over which the exponents run too.
    p-RoPE (arXiv:2410.06205), as Gemma 4 applies it.
    """

    factor: float = number(1.0, at_least=1)
    partial_rotary_factor: float = number(1.0, at_least=0)

    def check(self, rope: Rope) -> Iterator[str]:
        if self.partial_rotary_factor > 1:
            yield f"partial_rotary_factor must be <= 1, got {self.partial_rotary_factor:g}"

    def frequencies(self, rope: Rope, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
        rotated = int(self.partial_rotary_factor * rope.exponent_dim // 2)
        inv_freq = np.zeros(rope.pairs, arithmetic.dtype)
        inv_freq[:rotated] = arithmetic.powers(rope.base, rope.exponent_dim, rotated) / self.factor
        return inv_freq, 1.0
