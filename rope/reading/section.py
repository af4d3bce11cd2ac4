"""One JSON object of a configuration: typed access, with the place of every mistake."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeGuard

from tightrope.rope.errors import escaped
from tightrope.rope.errors import shortened as shortened  # its readers take it from here
from tightrope.rope.support.validation import is_one_of

# No published value comes near; beyond it a product with a head's width could overflow or a list exhaust memory.
LARGEST = 2**40


# Of each kind; whoever has so many to mend sees the rest the next time.
_MOST_FINDINGS = 200

# The longest published value that a reader asks for has 30 characters.
_LONGEST_TEXT = 200


def _add(texts: list[str], text: str) -> None:
    if len(texts) < _MOST_FINDINGS and text not in texts:
        texts.append(text)


@dataclass
class Findings:
    """What reading found: problems stop it, notes are for a person, unknown keys are one or the other.

    Attributes:
        problems: What cannot be right; all of them become one error.
        notes: What a person would want to check.
        unknown: Keys that nobody knows: warnings, or problems where reading is strict or fails anyway.
        unread: Keys that sound like position and that no reader asked for: warnings where the family is unknown, notes
            where it is known, problems where reading is strict.
        consumed: Key paths that a reader took a value from, or that it says something about.
        guesses: What is taken for granted where the family is unknown, and read like another: notes, and warnings where
            a family is named at all.
        own: The configuration is somebody's own: it has no model_type, or code of theirs applies the rotation.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    consumed: set[str] = field(default_factory=set)
    guesses: list[str] = field(default_factory=list)
    own: bool = False

    @property
    def guessed(self) -> bool:
        """Whether the family is unknown, and read like another."""
        return bool(self.guesses)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What deserves a warning, not only a note."""
        guesses = () if self.own else self.guesses
        return (*guesses, *self.unknown, *(self.unread if self.guessed else ()))

    def guess(self, text: str) -> None:
        """Add a guess once, as a note too."""
        _add(self.guesses, text)
        self.note(text)

    def note(self, text: str) -> None:
        """Add a note once."""
        _add(self.notes, text)

    def problem(self, text: str) -> None:
        """Add a problem once."""
        _add(self.problems, text)

    def unknown_key(self, text: str) -> None:
        """Add an unknown key once: several ropes may read one block."""
        _add(self.unknown, text)


@dataclass(frozen=True)
class Section:
    """A JSON object, where it stands, and where to report.

    Every getter takes several names and returns the first value that is not null; a value of the wrong type is reported
    with its key path and read as absent. A getter records the key that it took the value from, so that `unread` can
    tell which keys nobody read. A reader to which null says something else than absence asks `is_null`. `values` itself
    is for looking at all keys: a value taken from there is not recorded.
    """

    values: Mapping[str, Any]
    findings: Findings
    path: str = ""

    def where(self, key: str) -> str:
        """Return the key path, as messages write it: what a terminal would act on is escaped."""
        return escaped(self.path + key)

    def find(self, *keys: str) -> tuple[str, Any] | None:
        """Return the first of these keys that has a value, and the value."""
        stated = [key for key in keys if self.values.get(key) is not None]
        self.consume(*(key for key in keys if key in self.values and self.values[key] is None))
        if not stated:
            return None
        value = self.values[stated[0]]
        self.consume(stated[0], *(key for key in stated[1:] if _are_alike(self.values[key], value)))
        return stated[0], value

    def get(self, key: str) -> Any:
        """Return the value of a key, None where it has none."""
        found = self.find(key)
        return None if found is None else found[1]

    def is_null(self, key: str) -> bool:
        """Return whether the key is present and null, for readers to which null is a statement."""
        return key in self.values and self.get(key) is None

    def consume(self, *keys: str) -> None:
        """Record that these keys were read."""
        self.findings.consumed.update(map(self.where, keys))

    def is_consumed(self, key: str) -> bool:
        """Return whether a reader took this key's value."""
        return self.where(key) in self.findings.consumed

    def number(self, *keys: str, above: float = -math.inf, at_most: float = LARGEST) -> float | int | None:
        """Return a finite number."""
        value: float | int | None = self._checked(keys, "a finite number", _is_number, above, at_most)
        return value

    def integer(self, *keys: str, above: float = 0, at_most: float = LARGEST) -> int | None:
        """Return a whole number; 64.0 counts as one."""
        value = self._checked(keys, "a whole number", _is_integral, above, at_most)
        return None if value is None else int(value)

    def flag(self, *keys: str) -> bool | None:
        """Return true or false; 0 and 1 count."""
        found = self.find(*keys)
        if found is not None and not is_one_of(found[1], (True, False, 0, 1, 0.0, 1.0)):
            self.reject(found[0], "true or false", found[1])
            return None
        return None if found is None else bool(found[1])

    def text(self, *keys: str) -> str | None:
        """Return a string."""
        found = self.find(*keys)
        if found is not None and not isinstance(found[1], str):
            self.reject(found[0], "a string", found[1])
            return None
        if found is not None and len(found[1]) > _LONGEST_TEXT:
            self.reject(found[0], f"a string of at most {_LONGEST_TEXT} characters", found[1])
            return None
        return None if found is None else found[1]

    def list_of(self, kind: type | tuple[type, ...], name: str, *keys: str) -> list[Any] | None:
        """Return a list whose items all have this type; `name` is how a message calls them."""
        found = self.find(*keys)
        if found is None:
            return None
        key, value = found
        if not isinstance(value, list | tuple):
            self.reject(key, f"a list of {name}", value)
            return None
        if len(value) > MOST_ENTRIES:
            self.reject(key, f"a list of at most {MOST_ENTRIES} {name}", value)
            return None
        wrong = [item for item in value if not isinstance(item, kind) or _is_out_of_bounds(item)]
        if wrong:
            self.reject(key, f"a list of {name}", wrong[0])
            return None
        return list(value)

    def integers(self, *keys: str) -> list[int] | None:
        """Return a list of whole numbers (true and false count as 1 and 0)."""
        return self.list_of(int, "whole numbers", *keys)

    def strings(self, *keys: str) -> list[str] | None:
        """Return a list of strings."""
        return self.list_of(str, "strings", *keys)

    def inner(self, key: str) -> Self | None:
        """Return the JSON object under a key."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            self.reject(key, "an object", value)
            return None
        return type(self)(value, self.findings, f"{self.where(key)}.")

    def translated(self, key: str, usual: str) -> None:
        """Note a key that stands for another one; one that has the usual name needs no note."""
        if key != usual:
            self.findings.note(f"{self.where(key)} {shortened(self.values[key])} is read as {usual}")

    def reject(self, key: str, rule: str, value: object) -> None:
        """Report a value that breaks a rule."""
        self.findings.problem(f"{self.where(key)} must be {rule}, got {shortened(value)}")

    def _checked(self, keys: Iterable[str], kind: str, is_kind: Any, above: float, at_most: float) -> Any:
        found = self.find(*keys)
        if found is None:
            return None
        key, value = found
        if not is_kind(value):
            self.reject(key, kind, value)
        elif value <= above:
            self.reject(key, f"> {above:g}", value)
        elif value > at_most:
            self.reject(key, f"<= {at_most:g}", value)
        else:
            return value
        return None


def _is_number(value: object) -> TypeGuard[int | float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _is_integral(value: object) -> bool:
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


def _are_alike(one: object, other: object) -> bool:
    plain = (str, int, float)  # an array compares to an array, and no list is stated twice
    return isinstance(one, plain) and isinstance(other, plain) and one == other


def _is_out_of_bounds(value: object) -> bool:
    return isinstance(value, int | float) and not abs(value) <= LARGEST


def present(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the values that are not None."""
    return (value for value in values if value is not None)


MOST_LAYERS = 10_000
MOST_ENTRIES = 10 * MOST_LAYERS
