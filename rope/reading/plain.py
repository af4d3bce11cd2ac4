"""Whatever a source holds, as plain JSON values within bounds, so that everything after reads them in linear time."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tightrope.rope.errors import RopeConfigError, shortened

# Published files are 5 levels deep; Python's own recursion (repr, comparison) ends at some hundreds.
DEEPEST = 100
# The longest published key has 45 characters, the longest value that bears on position 30.
LONGEST_NAME = 1000


def plain(source: Mapping[Any, Any], name: str | None = None) -> dict[str, Any]:
    """Return a configuration of dicts, lists and scalars: arrays as lists, what is no JSON as `Foreign`.

    Raises:
        RopeConfigError: A key is no string or longer than `LONGEST_NAME`, or the nesting is deeper than `DEEPEST`.
    """
    strange = next((key for key in source if not isinstance(key, str)), None)
    if strange is not None:
        raise RopeConfigError(f"keys must be strings, got {shortened(strange)}", source=name)
    whole: dict[str, Any] = {}
    # A stack, not recursion: (values to copy, where to put them, depth).
    pending: list[tuple[Any, Any, int]] = [(source, whole, 1)]
    while pending:
        values, copy, depth = pending.pop()
        if depth > DEEPEST:
            raise RopeConfigError(f"is nested more than {DEEPEST} levels deep; no configuration is", source=name)
        for key, value in values.items() if isinstance(values, Mapping) else enumerate(values):
            if isinstance(key, str) and len(key) > LONGEST_NAME:
                raise RopeConfigError(f"key {shortened(key)} has more than {LONGEST_NAME} characters", source=name)
            copy[key] = _copied(_as_python(value), depth, pending)
    return whole


def _copied(value: Any, depth: int, pending: list[tuple[Any, Any, int]]) -> Any:
    """Return a scalar; of what holds others an empty copy, which is filled later."""
    if not isinstance(value, Mapping | list | tuple):
        return value
    copy: Any = {} if isinstance(value, Mapping) else [None] * len(value)
    pending.append((value, copy, depth + 1))
    return copy


def _as_python(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float | list | tuple | Mapping):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return Foreign(value)


class Foreign:
    """A value that JSON does not have, such as a dtype or a tensor: it equals nothing and every reader refuses it."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __repr__(self) -> str:
        return repr(self._value)
