"""A call whose arguments a function does not have, told in the words of every other mistake."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from tightrope.rope.errors import RopeConfigError, shortened, suggestion
from tightrope.rope.support.validation import require

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_Class = TypeVar("_Class")

Naming = Callable[[str, Sequence[str]], str]
"""What follows "has no argument 'x'", given x and the arguments that there are."""


def near(name: str, known: Sequence[str]) -> str:
    """Return the end of the message: the argument whose name is near, else all of them."""
    return suggestion(name, known) or f"; its arguments are {', '.join(known)}"


def require_known(name: str, given: Iterable[str], known: Sequence[str], naming: Naming = near) -> None:
    """Raise where a call gives arguments that the function of that name does not have."""
    require(f"{name} has no argument {shortened(one)}{naming(one, known)}" for one in given if one not in known)


def told_in_words(
    function: Callable[_Given, _Result], name: str = "", naming: Naming = near
) -> Callable[_Given, _Result]:
    """Return the function; called with arguments that it does not take, it raises RopeConfigError, not TypeError.

    For what is called once a model: the function is called through another.

    Args:
        function: The function.
        name: What the caller calls it.
        naming: What follows the name of an argument that there is none of.
    """

    @wraps(function)
    def called(*given: _Given.args, **named: _Given.kwargs) -> _Result:
        try:
            return function(*given, **named)
        except TypeError:
            _require_fitting(function, name or function.__name__, given, named, naming)
            raise  # of something within

    return called


def fields_in_words(naming: Naming = near) -> Callable[[type[_Class]], type[_Class]]:
    """Return what lets a dataclass tell in words which of the arguments that it is made of does not fit."""

    def told(cls: type[_Class]) -> type[_Class]:
        made: Any = cls
        made.__init__ = told_in_words(made.__init__, cls.__name__, naming)
        return cls

    return told


def _require_fitting(
    function: Callable[..., Any], name: str, given: Sequence[object], named: dict[str, Any], naming: Naming
) -> None:
    parameters = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    known = [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]
    if len(known) == len(parameters):
        require_known(name, named, known, naming)
    try:
        inspect.signature(function).bind(*given, **named)
    except TypeError as error:
        raise RopeConfigError(f"{name}: {error}; {_usage(name, parameters)}") from None


def _usage(name: str, parameters: Sequence[inspect.Parameter]) -> str:
    required = [one for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD]
    words = [f"{one.name}=…" if one.kind is one.KEYWORD_ONLY else one.name for one in required]
    return f"call {name}({', '.join(words)})"
