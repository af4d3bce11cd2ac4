"""`ntk`: the static NTK-aware base."""

from collections.abc import Iterator
from dataclasses import dataclass

from tightrope.rope.arithmetic import Arithmetic, FloatArray
from tightrope.rope.scaling import Rope, Scaling, number, rope_type


def grown_base(rope: Rope, arithmetic: Arithmetic, growth: float) -> float:
    """Return base · growth ** (d / (d − 2)): the slowest pair rotates `growth` times slower, the fastest as before."""
    dim = rope.exponent_dim
    return rope.base * arithmetic.power(growth, dim / (dim - 2))


def check_dim(rope: Rope, name: str) -> Iterator[str]:
    """Yield a problem where the exponent d / (d − 2) has no value."""
    if rope.exponent_dim <= 2:
        yield f"rotary_dim must be > 2 for rope_type {name!r}, got {rope.exponent_dim}"


@rope_type("ntk")
@dataclass(frozen=True, kw_only=True)
class Ntk(Scaling):
    """inv_freq[i] = (base · factor ** (d / (d − 2))) ** (-2 i / d), d = rotary_dim.

    NTK-aware scaled RoPE (bloc97, 2023; YaRN, arXiv:2309.00071, definition 1). Hunyuan's `alpha` is this factor.
    """

    factor: float = number(at_least=1)

    def check(self, rope: Rope) -> Iterator[str]:
        yield from check_dim(rope, self.rope_type)

    def frequencies(self, rope: Rope, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
        return arithmetic.powers(grown_base(rope, arithmetic, self.factor), rope.exponent_dim, rope.pairs), 1.0
