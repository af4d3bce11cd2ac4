"""`default`: the frequencies of RoFormer, unscaled."""

from dataclasses import dataclass

from tightrope.rope.arithmetic import Arithmetic, FloatArray
from tightrope.rope.scaling import Rope, Scaling, rope_type


@rope_type("default")
@dataclass(frozen=True, kw_only=True)
class Default(Scaling):
    """inv_freq[i] = base ** (-2 i / rotary_dim)        (RoFormer, arXiv:2104.09864; θ_i in the paper)."""

    def frequencies(self, rope: Rope, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
        return arithmetic.powers(rope.base, rope.exponent_dim, rope.pairs), 1.0
