"""The parameters of a rope type: how each is declared, read and checked."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field
from typing import Any, Literal

from tightrope.rope.errors import shortened
from tightrope.rope.support.validation import is_number

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


def rule_of(item: Field[Any]) -> Rule:
    """Return the rule that a declaration holds."""
    rule: Rule = item.metadata["rule"]
    return rule


def is_given(item: Field[Any], block: Mapping[str, object]) -> bool:
    """Return whether a block states a parameter; null means "absent" in every published file."""
    return block.get(item.name) is not None


def tidy(rule: Rule, value: object) -> object:
    """Return a value of a JSON file as the parameter holds it: lists as tuples, 4.0 as 4 where it is a whole number."""
    if rule.kind == "numbers" and isinstance(value, list):
        return tuple(value)
    if rule.kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
