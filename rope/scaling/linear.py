"""`linear`: position interpolation."""

from dataclasses import dataclass

from tightrope.rope.arithmetic import Arithmetic, FloatArray
from tightrope.rope.scaling import Rope, Scaling, number, rope_type


@rope_type("linear")
@dataclass(frozen=True, kw_only=True)
class Linear(Scaling):
    """inv_freq[i] = base ** (-2 i / rotary_dim) / factor        (Position Interpolation, arXiv:2306.15595)."""

    factor: float = number(at_least=1)

    def frequencies(self, rope: Rope, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
        return arithmetic.powers(rope.base, rope.exponent_dim, rope.pairs) / self.factor, 1.0
