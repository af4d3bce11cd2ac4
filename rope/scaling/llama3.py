"""`llama3`: divide the slow pairs, keep the fast ones, blend by wavelength between them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tightrope.rope.arithmetic import Arithmetic, FloatArray, ln
from tightrope.rope.scaling import Rope, Scaling, integer, number, rope_type


@rope_type("llama3")
@dataclass(frozen=True, kw_only=True)
class Llama3(Scaling):
    """inv_freq[i] = (1 − s) · θ_i / factor + s · θ_i, with s = (L₀ / λ_i − low) / (high − low) cut to [0, 1].

    θ_i is the unscaled frequency and λ_i = 2π / θ_i its wavelength: pairs slower than L₀ / low_freq_factor are divided,
    pairs faster than L₀ / high_freq_factor kept. L₀ is original_max_position_embeddings, else max_position_embeddings.
    Llama 3.1 (Meta, `apply_scaling` in llama-models). With low = high (Llama 4 Scout) there is no band between.
    """

    factor: float = number(at_least=1)
    low_freq_factor: float = number(above=0)
    high_freq_factor: float = number(above=0)
    original_max_position_embeddings: int | None = integer(None, at_least=1)

    def check(self, rope: Rope) -> Iterator[str]:
        if self.high_freq_factor < self.low_freq_factor:
            low, high = self.low_freq_factor, self.high_freq_factor
            yield f"high_freq_factor must be >= low_freq_factor ({low:g}), got {high:g}"
        if rope.original_length is None:
            yield "rope_type 'llama3' needs original_max_position_embeddings or max_position_embeddings"

    def remarks(self, rope: Rope) -> Iterator[str]:
        if self.high_freq_factor == self.low_freq_factor:
            yield "high_freq_factor equals low_freq_factor: no blend; pairs are divided or kept"

    def blend_zone(self, rope: Rope) -> tuple[float, float] | None:
        if rope.base <= 1:  # wavelengths do not rise with the pair
            return None
        return self._pair(rope, self.high_freq_factor), self._pair(rope, self.low_freq_factor)

    @staticmethod
    def _pair(rope: Rope, rotations: float) -> float:
        """Return the index, not rounded, of the pair that rotates this often within the original length."""
        wavelength = rope.require_original_length() / rotations
        index = rope.exponent_dim * ln(wavelength / (2 * math.pi)) / (2 * ln(rope.base))
        return min(max(index, 0.0), rope.pairs - 1.0)

    def frequencies(self, rope: Rope, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
        kept = arithmetic.powers(rope.base, rope.exponent_dim, rope.pairs)
        original = rope.require_original_length()
        # Reciprocal, then product: so torch divides a number by a tensor, and float32 has to follow it.
        wavelength = (1 / kept) * (2 * math.pi)
        divided = np.where(wavelength > original / self.low_freq_factor, kept / self.factor, kept)
        if self.high_freq_factor == self.low_freq_factor:
            return divided, 1.0
        blend = (1 / wavelength) * original
        blend = (blend - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        between = (wavelength >= original / self.high_freq_factor) & (wavelength <= original / self.low_freq_factor)
        return np.where(between, (1 - blend) * divided / self.factor + blend * divided, divided), 1.0
