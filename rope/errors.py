"""The errors that Tightrope raises: each names the field, the rule, the value it got and what to do."""

import difflib
from collections.abc import Iterable


class RopeError(Exception):
    """Base class of every error that Tightrope raises on purpose."""


class RopeConfigError(RopeError, ValueError):
    """A configuration, position or shape that cannot be right.

    `problems` holds every problem found, so that a file is fixed in one go.
    """

    def __init__(self, problems: str | Iterable[str], *, source: str | None = None) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        self.source = source
        super().__init__(self.problems, source)

    def __str__(self) -> str:
        prefix = f"{_clipped(self.source)}: " if self.source else ""
        if len(self.problems) == 1:
            return prefix + self.problems[0]
        return f"{prefix}{len(self.problems)} problems" + "".join(f"\n  - {problem}" for problem in self.problems)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.problems, self.source)


def _clipped(path: str, limit: int = 300) -> str:
    return path if len(path) <= limit else path[: limit - 1] + "…"


class RopeKeyError(RopeConfigError, KeyError):
    """A key that is required and missing, or a name that is not registered; code for transformers catches KeyError."""

    def __str__(self) -> str:
        return RopeConfigError.__str__(self)  # a KeyError prints its argument's repr

    def __reduce__(self) -> tuple[object, ...]:
        return RopeKeyError, (self.problems,)


def _rebuild(problems: tuple[str, ...], source: str | None) -> RopeConfigError:
    return RopeConfigError(problems, source=source)


class BackendUnavailable(RopeError, ImportError):  # noqa: N818  # the name says all
    """A backend that was asked for is not installed, or is installed and fails to import."""


class ExtraMissing(RopeError, ImportError):  # noqa: N818  # the name says all
    """A package that only an extra installs is needed and missing."""


def shortened(value: object, limit: int = 60, *, plain: bool = False) -> str:
    """Return repr(value), cut to a line's worth; `plain`: the text itself, without quotes where it needs none."""
    try:
        text = " ".join(repr(value).splitlines())  # an array's has several lines
        text = text[1:-1] if plain and isinstance(value, str) else text
    except ValueError:  # an integer with more digits than Python prints
        text = "a number of thousands of digits"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def escaped(text: str, limit: int = 200) -> str:
    """Return text as a terminal may show it: control characters and lone surrogates escaped, cut to `limit`."""
    shown = text if text.isprintable() else repr(text)[1:-1]
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean …?" where a known name is near, else nothing."""
    if len(name) > _LONGEST_NAME:
        return ""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


_LONGEST_NAME = 100  # comparing costs the square of the length


class RopeWarning(UserWarning):
    """Something in a configuration that has no effect and may be a mistake, such as an unknown key in a rope block."""
