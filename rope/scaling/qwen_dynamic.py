"""`qwen_dynamic`: an NTK-aware base that grows with the sequence by powers of two (Qwen 1)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from tightrope.rope.arithmetic import Arithmetic, FloatArray
from tightrope.rope.scaling import Rope, Scaling, integer, rope_type
from tightrope.rope.scaling.ntk import check_dim, grown_base


@rope_type("qwen_dynamic")
@dataclass(frozen=True, kw_only=True)
class QwenDynamic(Scaling):
    """The static NTK-aware base with growth = 2 ** ⌈log2(L / L₀) + 1⌉ − 1 for L > L₀: 3, 7, 15, …; unscaled up to L₀.

    L is the sequence length, L₀ the length the model was trained for: `original_max_position_embeddings`, else
    max_position_embeddings. Qwen 1's own code (`get_ntk_alpha` in modeling_qwen.py), where L₀ is called seq_length.
    """

    follows_length: ClassVar[bool] = True

    original_max_position_embeddings: int | None = integer(None, at_least=1)

    def check(self, rope: Rope) -> Iterator[str]:
        yield from check_dim(rope, self.rope_type)
        if rope.original_length is None:
            yield "rope_type 'qwen_dynamic' needs original_max_position_embeddings or max_position_embeddings"

    def effective_length(self, rope: Rope, seq_len: int) -> int | None:
        original = rope.require_original_length()
        # The exponent of the first power of two that reaches seq_len / original, in integers.
        doublings = max(-(-seq_len // original) - 1, 0).bit_length()
        return original << doublings

    def frequencies(self, rope: Rope, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
        original = rope.require_original_length()
        longest = self.effective_length(rope, max(seq_len or 0, original)) or original
        growth = float(2 * (longest // original) - 1)
        return arithmetic.powers(grown_base(rope, arithmetic, growth), rope.exponent_dim, rope.pairs), 1.0
