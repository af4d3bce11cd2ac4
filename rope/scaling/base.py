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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar

from tightrope.rope.arithmetic import Arithmetic, FloatArray
from tightrope.rope.errors import RopeConfigError, shortened, suggestion
from tightrope.rope.support.validation import instance, is_number, require

Kind = Literal["number", "integer", "flag", "numbers"]

_KIND_NAMES: dict[Kind, str] = {
    "number": "a finite number",
    "integer": "a whole number",
    "flag": "true or false",
    "numbers": "a list of finite numbers",
}


# Tokens of the longest sequence: 1e12, from where twice a length still fits in 64 bits.
LONGEST = 2**40


@dataclass(frozen=True)
class Rule:
    """The type and range of one parameter."""

    kind: Kind
    at_least: float | None = None
    above: float | None = None
    optional: bool = False

    def problem(self, name: str, value: Any) -> str | None:
        """Return what is wrong with value, or None."""
        if value is None and self.optional:
            return None
        if not self._has_kind(value):
            return f"{name} must be {_KIND_NAMES[self.kind]}, got {shortened(value)}"
        for item in value if isinstance(value, tuple) else (value,):
            if self.at_least is not None and item < self.at_least:
                return f"{name} must be >= {self.at_least:g}, got {shortened(item)}"
            if self.above is not None and item <= self.above:
                return f"{name} must be > {self.above:g}, got {shortened(item)}"
            if self.kind == "integer" and item > LONGEST:
                return f"{name} must be <= {LONGEST}, got {shortened(item)}"
        return None

    def _has_kind(self, value: object) -> bool:
        if self.kind == "numbers":
            return isinstance(value, tuple) and all(is_number(item) for item in value)
        if self.kind == "flag":
            return isinstance(value, bool)
        return is_number(value) and (self.kind == "number" or float(value).is_integer())


def number(default: Any = MISSING, *, at_least: float | None = None, above: float | None = None) -> Any:
    """Declare a real parameter; a default of None makes it optional."""
    return _parameter(Rule("number", at_least, above, default is None), default)


def integer(default: Any = MISSING, *, at_least: float | None = None) -> Any:
    """Declare a whole-number parameter."""
    return _parameter(Rule("integer", at_least, None, default is None), default)


def flag(default: Any = MISSING) -> Any:
    """Declare a true-or-false parameter."""
    return _parameter(Rule("flag", optional=default is None), default)


def numbers(default: Any = MISSING, *, above: float | None = None) -> Any:
    """Declare a list of real parameters, held as a tuple."""
    return _parameter(Rule("numbers", None, above, default is None), default)


def _parameter(rule: Rule, default: Any) -> Any:
    return field(default=default, metadata={"rule": rule})


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

    def __post_init__(self) -> None:
        for item in self.parameters():
            if isinstance(getattr(self, item.name), list):
                object.__setattr__(self, item.name, tuple(getattr(self, item.name)))
        problems = [self._rule(item).problem(item.name, getattr(self, item.name)) for item in self.parameters()]
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

    @staticmethod
    def _rule(item: Field[Any]) -> Rule:
        rule: Rule = item.metadata["rule"]
        return rule

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
        given = {name: _tidy(cls._rule(item), block[name]) for name, item in known.items() if _is_given(item, block)}
        for name, value in given.items():
            problem = cls._rule(known[name]).problem(name, value)
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


def _is_given(item: Field[Any], block: Mapping[str, object]) -> bool:
    # null means "absent" in every published file.
    return block.get(item.name) is not None


def _tidy(rule: Rule, value: object) -> object:
    if rule.kind == "numbers" and isinstance(value, list):
        return tuple(value)
    if rule.kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


_REGISTRY: dict[str, type[Scaling]] = {}
_SomeScaling = TypeVar("_SomeScaling", bound=Scaling)


def rope_type(name: str) -> Callable[[type[_SomeScaling]], type[_SomeScaling]]:
    """Register a `Scaling` under its name, so that configurations may ask for it.

    Raises:
        RopeConfigError: The name is taken by another class, or what is registered is no `Scaling`.
    """
    require(instance("rope_type", name, str, "a string: the name that configurations give it"))

    def register(cls: type[_SomeScaling]) -> type[_SomeScaling]:
        if not (isinstance(cls, type) and issubclass(cls, Scaling)):
            raise RopeConfigError(f"rope_type {name!r} must be a subclass of tightrope.Scaling, got {shortened(cls)}")
        holder = _REGISTRY.get(name)
        # A class defined again by the same code (a notebook cell run twice) replaces itself.
        if holder is not None and (holder.__module__, holder.__qualname__) != (cls.__module__, cls.__qualname__):
            raise RopeConfigError(f"rope_type {name!r} is taken by {holder.__qualname__}; choose another name")
        cls.rope_type = name
        _REGISTRY[name] = cls
        return cls

    return register


def rope_types() -> tuple[str, ...]:
    """Return the names of all registered rope types."""
    return tuple(sorted(_REGISTRY))


def find_type(name: str) -> type[Scaling]:
    """Return the rope type of that name.

    Raises:
        RopeConfigError: There is none; the message suggests the nearest name.
    """
    if name in _REGISTRY:
        return _REGISTRY[name]
    hint = suggestion(name, _REGISTRY) or f"; known: {', '.join(rope_types())}"
    raise RopeConfigError(f"unknown rope_type {name!r}{hint}")


def scaling_from(block: Mapping[str, object]) -> Scaling:
    """Return the rope type that a rope block of a configuration asks for.

    Raises:
        RopeConfigError: There is no such type, or it has no parameter of that name, or another rule is broken.
    """
    name = block.get("rope_type", block.get("type", "default"))
    cls = find_type(str(name))
    known = {"rope_type", "type", *(item.name for item in cls.parameters())}
    unknown = sorted(str(key) for key in block if key not in known)
    require(f"unknown key {key!r} for rope_type {name!r}{suggestion(key, known)}" for key in unknown)
    return cls.from_block(block)
