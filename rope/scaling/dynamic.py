"""`dynamic`: an NTK-aware base that grows with the sequence."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from tightrope.rope.arithmetic import Arithmetic, FloatArray
from tightrope.rope.scaling import Rope, Scaling, integer, number, rope_type
from tightrope.rope.scaling.ntk import check_dim, grown_base


@rope_type("dynamic")
@dataclass(frozen=True, kw_only=True)
class Dynamic(Scaling):
    """The static NTK-aware base with growth = factor · L / L₀ − (factor − 1), for L > L₀; unscaled up to L₀.

    L is the sequence length, L₀ the length the model was trained for: `original_max_position_embeddings` where the
    block has it, else max_position_embeddings. Dynamic NTK (emozilla, 2023; YaRN, arXiv:2309.00071, appendix).
    """

    follows_length: ClassVar[bool] = True

    factor: float = number(at_least=1)
    original_max_position_embeddings: int | None = integer(None, at_least=1)

    def check(self, rope: Rope) -> Iterator[str]:
        yield from check_dim(rope, self.rope_type)
        if rope.original_length is None:
            yield "rope_type 'dynamic' needs max_position_embeddings, the length from which it grows"

    def effective_length(self, rope: Rope, seq_len: int) -> int | None:
        return max(seq_len, rope.require_original_length())

    def frequencies(self, rope: Rope, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
        original = rope.require_original_length()
        length = arithmetic.length(max(seq_len or 0, original))
        growth = self.factor * length / original - (self.factor - 1)
        return arithmetic.powers(grown_base(rope, arithmetic, growth), rope.exponent_dim, rope.pairs), 1.0
