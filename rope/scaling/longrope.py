"""`longrope`: one searched divisor per pair, short up to the original length and long beyond it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tightrope.rope.arithmetic import Arithmetic, FloatArray, ln
from tightrope.rope.scaling import Rope, Scaling, integer, number, numbers, rope_type


@rope_type("longrope")
@dataclass(frozen=True, kw_only=True)
class LongRope(Scaling):
    """inv_freq[i] = base ** (-2 i / rotary_dim) / divisor[i], divisor = short_factor while L ≤ L₀, long_factor beyond.

    attention_factor is sqrt(1 + ln(factor) / ln(L₀)), 1 where factor ≤ 1; Phi-3.5-MoE replaces it by short_mscale and
    long_mscale. factor defaults to max_position_embeddings / L₀, L₀ to max_position_embeddings.
    LongRoPE, arXiv:2402.13753.
    """

    follows_length: ClassVar[bool] = True

    short_factor: tuple[float, ...] = numbers(above=0)
    long_factor: tuple[float, ...] = numbers(above=0)
    factor: float | None = number(None, at_least=1)
    original_max_position_embeddings: int | None = integer(None, at_least=2)
    attention_factor: float | None = number(None, above=0)
    short_mscale: float | None = number(None, above=0)
    long_mscale: float | None = number(None, above=0)

    def check(self, rope: Rope) -> Iterator[str]:
        for name, divisors in (("short_factor", self.short_factor), ("long_factor", self.long_factor)):
            if len(divisors) != rope.pairs:
                yield f"{name} must have one entry per rotated pair ({rope.pairs}), got {len(divisors)}"
        if (self.short_mscale is None) != (self.long_mscale is None):
            yield "short_mscale and long_mscale must be given together"
        if rope.original_length is None:
            yield "rope_type 'longrope' needs original_max_position_embeddings or max_position_embeddings"
        elif self.factor is None and rope.max_position_embeddings is None and not self._states_attention_factor():
            yield "rope_type 'longrope' without factor needs max_position_embeddings, to take the ratio of lengths"

    def _states_attention_factor(self) -> bool:
        return self.attention_factor is not None or self.short_mscale is not None

    def switch_length(self, rope: Rope) -> int | None:
        return rope.require_original_length()

    def effective_length(self, rope: Rope, seq_len: int) -> int | None:
        original = rope.require_original_length()
        return original if seq_len <= original else original + 1

    def resolved_attention_factor(self, rope: Rope, *, is_long: bool) -> float:
        """Return the factor on cos and sin."""
        if self.short_mscale is not None and self.long_mscale is not None:
            return float(self.long_mscale if is_long else self.short_mscale)
        if self.attention_factor is not None:
            return float(self.attention_factor)
        factor = self.factor if self.factor is not None else rope.length_ratio()
        return math.sqrt(1 + ln(factor) / ln(rope.require_original_length())) if factor > 1 else 1.0

    def frequencies(self, rope: Rope, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
        is_long = (seq_len or 0) > rope.require_original_length()
        divisor = np.array(self.long_factor if is_long else self.short_factor, arithmetic.dtype)
        inv_freq = arithmetic.divided_powers(rope.base, rope.exponent_dim, rope.pairs, divisor)
        return inv_freq, self.resolved_attention_factor(rope, is_long=is_long)
