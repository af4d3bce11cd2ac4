"""What an argument must be: each rule once, as the line that says how it is broken."""

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightrope.rope.errors import RopeConfigError, shortened


def require(problems: Iterable[str]) -> None:
    """Raise a `RopeConfigError` with all of these problems; none, and nothing happens."""
    found = list(problems)
    if found:
        raise RopeConfigError(found)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a finite number: no bool, and no integer beyond the range of floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # false for nan


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether a value is a Python or numpy integer; bools are not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_one_of(value: object, allowed: Iterable[object]) -> bool:
    """Return whether a value is among those allowed; arrays, whose comparison is an array, never are."""
    return any(isinstance(value, type(one)) and value == one for one in allowed)


def is_list(value: object) -> TypeGuard[Iterable[object]]:
    """Return whether a value can be a list: any iterable except text and mappings."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return False
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def positive_integer(name: str, value: object) -> Iterator[str]:
    """Yield what is wrong with a count or a width."""
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        yield f"{name} must be a whole number > 0, got {shortened(value)}"


def number(name: str, value: object, *, above: float = -math.inf) -> Iterator[str]:
    """Yield what is wrong with a finite number."""
    if not is_number(value) or value <= above:
        bound = "" if above == -math.inf else f" > {above:g}"
        yield f"{name} must be a finite number{bound}, got {shortened(value)}"


def one_of(name: str, value: object, allowed: Iterable[object]) -> Iterator[str]:
    """Yield what is wrong with a choice among named things."""
    allowed = tuple(allowed)
    if not is_one_of(value, allowed):
        yield f"{name} must be one of {', '.join(map(repr, allowed))}, got {shortened(value)}"


def instance(name: str, value: object, kind: type | UnionType, words: str) -> Iterator[str]:
    """Yield what is wrong with a value that is not of this kind; the words say which kind, and how to come by one."""
    if not isinstance(value, kind):
        yield f"{name} must be {words}, got {shortened(value)}"


def list_of(name: str, value: object, words: str) -> Iterator[str]:
    """Yield what is wrong with a value that cannot be a list."""
    if not is_list(value):
        yield f"{name} must be a list of {words}, got {shortened(value)}"


def array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return a value as a numpy array, after a check that it can be one."""
    try:
        return np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise RopeConfigError(f"{name} must be rows of one length, got {shortened(value)}") from error


def whole_number(name: str, value: object, least: int | None = None) -> int:
    """Return value, after a check that it is a whole number, and one >= least."""
    if not is_whole(value) or (least is not None and value < least):
        bound = "" if least is None else f" >= {least}"
        raise RopeConfigError(f"{name} must be a whole number{bound}, got {shortened(value)}")
    return int(value)
