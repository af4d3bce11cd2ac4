"""What every rope type is: a frozen record of its parameters, their rules, and one formula.

A rope type is one module of this package:

    @rope_type("linear")
    @dataclass(frozen=True, kw_only=True)
    class Linear(Scaling):
        factor: float = number(at_least=1)

        def frequencies(self, rope, arithmetic, seq_len):
            return arithmetic.powers(rope.base, rope.exponent_dim, rope.pairs) / self.factor, 1.0

The field declarations say how a parameter is read, checked and written; `check` holds the rules between fields.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, ClassVar, Protocol, Self

from tightrope.rope.arithmetic import Arithmetic, FloatArray
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.scaling.parameters import is_given, rule_of, tidy
from tightrope.rope.support.validation import instance, require


class Rope(Protocol):
    """What a rope type may ask of the rope that it scales; `RopeConfig` has all of it."""

    @property
    def base(self) -> float:
        """The base of the geometric progression."""

    @property
    def pairs(self) -> int:
        """Rotated pairs of channels."""

    @property
    def exponent_dim(self) -> int:
        """The d in base ** (-2 i / d)."""

    @property
    def max_position_embeddings(self) -> int | None:
        """The context length that the configuration declares, in tokens."""

    @property
    def original_length(self) -> int | None:
        """The length the model was first trained for."""

    def require_original_length(self) -> int:
        """Return `original_length`, for formulas whose `check` has shown that there is one."""

    def length_ratio(self) -> float:
        """Return max_position_embeddings / original_length."""


@dataclass(frozen=True, kw_only=True)
class Scaling(ABC):
    """The parameters of one rope type. Immutable and hashable."""

    rope_type: ClassVar[str]
    follows_length: ClassVar[bool] = False
    """True where the frequencies depend on the length of the sequence."""
    needs_one_of: ClassVar[tuple[str, ...]] = ()
    """Optional keys of which a configuration must give at least one, in the block or beside it."""

    def __post_init__(self) -> None:
        for item in self.parameters():
            if isinstance(getattr(self, item.name), list):
                object.__setattr__(self, item.name, tuple(getattr(self, item.name)))
        problems = [rule_of(item).problem(item.name, getattr(self, item.name)) for item in self.parameters()]
        found = [problem for problem in problems if problem]
        if found:
            raise RopeConfigError(found)

    @abstractmethod
    def frequencies(self, rope: Rope, arithmetic: Arithmetic, seq_len: int | None) -> tuple[FloatArray, float]:
        """Return (inv_freq, attention_factor) in the given arithmetic.

        seq_len is None unless `follows_length`; then it is what `effective_length` returned.
        """

    def check(self, rope: Rope) -> Iterator[str]:
        """Yield what is wrong between these parameters, or between them and the rest of the rope."""
        yield from ()

    def remarks(self, rope: Rope) -> Iterator[str]:
        """Yield what is allowed but worth a person's look."""
        yield from ()

    def effective_length(self, rope: Rope, seq_len: int) -> int | None:
        """Return one representative of all lengths with the frequencies of seq_len (the key of every cache)."""
        return seq_len if self.follows_length else None

    def switch_length(self, rope: Rope) -> int | None:
        """Return L where there are two tables, one up to length L and one beyond it; None otherwise."""
        return None

    def blend_zone(self, rope: Rope) -> tuple[float, float] | None:
        """Return the pair indices between which frequencies pass from kept to divided; None without such a zone."""
        return None

    @classmethod
    def parameters(cls) -> tuple[Field[Any], ...]:
        """Return the declared parameters."""
        return tuple(item for item in fields(cls) if "rule" in item.metadata)

    @classmethod
    def from_block(cls, block: Mapping[str, object]) -> Self:
        """Build from the keys of a configuration's rope block; keys of other owners are ignored.

        Raises:
            RopeConfigError: with every missing key and every broken rule.
        """
        require(instance("block", block, Mapping, "a mapping such as {'factor': 4.0}"))
        known = {item.name: item for item in cls.parameters()}
        problems = [
            f"{name} is required by rope_type {cls.rope_type!r} and missing"
            for name, item in known.items()
            if item.default is MISSING and block.get(name) is None
        ]
        given = {name: tidy(rule_of(item), block[name]) for name, item in known.items() if is_given(item, block)}
        for name, value in given.items():
            problem = rule_of(known[name]).problem(name, value)
            if problem:
                problems.append(problem)
        if problems:
            raise RopeConfigError(problems)
        return cls(**given)

    def to_block(self) -> dict[str, object]:
        """Return the parameters that differ from their defaults, as a configuration holds them."""
        values = {item.name: getattr(self, item.name) for item in self.parameters()}
        defaults = {item.name: item.default for item in self.parameters()}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if defaults[name] is MISSING or value != defaults[name]
        }
