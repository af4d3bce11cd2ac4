"""`yarn`: interpolate the slow pairs, keep the fast ones, blend between them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tightrope.rope.arithmetic import Arithmetic, FloatArray, ln
from tightrope.rope.scaling import Rope, Scaling, flag, integer, number, rope_type

# transformers and DeepSeek widen an empty ramp by this much, so that it divides by something.
_RAMP_EPSILON = 0.001


def attention_gain(scale: float, weight: float = 1.0) -> float:
    """Return 0.1 · weight · ln(scale) + 1; 1 where nothing is extended (YaRN, equation 22; DeepSeek's get_mscale)."""
    return 0.1 * weight * ln(scale) + 1.0 if scale > 1 else 1.0


@rope_type("yarn")
@dataclass(frozen=True, kw_only=True)
class Yarn(Scaling):
    """inv_freq[i] = θ_i · (1 − γ_i) + θ_i / factor · γ_i, with γ rising from 0 to 1 between two corrected dimensions.

    The dimension that rotates r times within the original length L₀ is d · ln(L₀ / (2π r)) / (2 ln base); γ rises from
    the one of beta_fast to the one of beta_slow, both rounded outwards unless `truncate` is false; extrapolation_factor
    multiplies 1 − γ. attention_factor is 0.1 · ln(factor) + 1, or the ratio of DeepSeek's two mscales where both are
    given and not 0, times attn_factor; where attention_factor itself is given, it is the whole.
    factor defaults to max_position_embeddings / L₀, L₀ to max_position_embeddings. YaRN, arXiv:2309.00071, section 3.2;
    attn_factor and extrapolation_factor as in the paper's own code.
    """

    needs_one_of: ClassVar[tuple[str, ...]] = ("factor", "original_max_position_embeddings")

    factor: float | None = number(None, at_least=1)
    original_max_position_embeddings: int | None = integer(None, at_least=1)
    attention_factor: float | None = number(None, above=0)
    attn_factor: float = number(1.0, above=0)
    beta_fast: float = number(32.0, above=0)
    beta_slow: float = number(1.0, above=0)
    mscale: float | None = number(None, at_least=0)
    mscale_all_dim: float | None = number(None, at_least=0)
    truncate: bool = flag(True)
    extrapolation_factor: float = number(1.0, at_least=0)

    def check(self, rope: Rope) -> Iterator[str]:
        if self.beta_fast < self.beta_slow:
            yield f"beta_fast must be >= beta_slow ({self.beta_slow:g}), got {self.beta_fast:g}"
        if rope.base <= 1:
            yield f"base must be > 1 for rope_type 'yarn', got {rope.base:.15g}"
        if self.factor is None and self.original_max_position_embeddings is None:
            yield "rope_type 'yarn' needs factor or original_max_position_embeddings; give at least one of them"
        elif self.factor is None and rope.max_position_embeddings is None:
            yield "rope_type 'yarn' without factor needs max_position_embeddings, to take the ratio of lengths"
        elif rope.original_length is None:
            yield "rope_type 'yarn' needs original_max_position_embeddings or max_position_embeddings"
        elif self.resolved_factor(rope) < 1:
            yield (
                f"max_position_embeddings ({rope.max_position_embeddings}) must be >= original_max_position_embeddings "
                f"({rope.original_length}) where factor is left to their ratio"
            )

    def remarks(self, rope: Rope) -> Iterator[str]:
        for name in ("attn_factor", "extrapolation_factor"):
            if getattr(self, name) != 1:
                yield f"{name} {getattr(self, name):g} counts, as in YaRN's own code and vLLM; transformers ignores it"
        if self.attention_factor is not None and self.attn_factor != 1:
            yield f"attention_factor {self.attention_factor:g} is the whole factor; attn_factor has no effect beside it"

    def resolved_factor(self, rope: Rope) -> float:
        """Return factor, or the ratio of the two lengths where it is absent."""
        return self.factor if self.factor is not None else rope.length_ratio()

    def resolved_attention_factor(self, rope: Rope) -> float:
        """Return the factor on cos and sin."""
        if self.attention_factor is not None:
            return float(self.attention_factor)
        return self.own_attention_factor(rope)

    def own_attention_factor(self, rope: Rope) -> float:
        """Return the factor on cos and sin that the other parameters give where attention_factor is not given."""
        factor = self.resolved_factor(rope)
        if self.mscale and self.mscale_all_dim:
            gain = attention_gain(factor, self.mscale) / attention_gain(factor, self.mscale_all_dim)
        else:
            gain = attention_gain(factor)
        return gain * self.attn_factor

    def softmax_scale(self, rope: Rope) -> float:
        """Return the factor on the attention logits, in families that apply it.

        (0.1 · mscale_all_dim · ln(factor) + 1)²        (DeepSeek-V2, arXiv:2405.04434, as its own code applies it)
        """
        return attention_gain(self.resolved_factor(rope), self.mscale_all_dim) ** 2 if self.mscale_all_dim else 1.0

    def frequencies(self, rope: Rope, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
        kept = arithmetic.powers(rope.base, rope.exponent_dim, rope.pairs)
        interpolated = arithmetic.divided_powers(rope.base, rope.exponent_dim, rope.pairs, self.resolved_factor(rope))
        # Twice "1 −": transformers' order of operations, whose float32 bits differ from those of the ramp itself.
        extrapolation = (1 - self._ramp(rope, len(kept), arithmetic)) * self.extrapolation_factor
        return interpolated * (1 - extrapolation) + kept * extrapolation, self.resolved_attention_factor(rope)

    def _ramp(self, rope: Rope, pairs: int, arithmetic: Arithmetic) -> FloatArray:
        low, high = self.correction_range(rope)
        if low == high:
            high += _RAMP_EPSILON
        return np.clip((np.arange(pairs, dtype=arithmetic.dtype) - low) / (high - low), 0, 1)

    def blend_zone(self, rope: Rope) -> tuple[float, float]:
        return self.correction_range(rope)

    def correction_range(self, rope: Rope) -> tuple[float, float]:
        """Return the pair indices between which the blend runs."""
        low, high = self._dimension(rope, self.beta_fast), self._dimension(rope, self.beta_slow)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        return max(low, 0), min(high, rope.exponent_dim - 1)

    @staticmethod
    def _dimension(rope: Rope, rotations: float) -> float:
        length = rope.require_original_length()
        return rope.exponent_dim * ln(length / (rotations * 2 * math.pi)) / (2 * ln(rope.base))
