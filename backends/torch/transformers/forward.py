"""A copy of a forward method that finds other functions under the names that it calls.

transformers' attention calls a function of its module, `apply_rotary_pos_emb` or a like name. Rebinding that name in
the module would change every model of the family; a copy of the method changes one instance.
"""

import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

from tightrope.backends.torch.transformers.apply import APPLY_NAME


def apply_functions(forward: Any) -> dict[str, Callable[..., Any]]:
    """Return the apply functions of its module that a forward method calls, by name."""
    function = inspect.unwrap(forward)
    if not isinstance(function, types.FunctionType):
        return {}
    scope = function.__globals__
    names = (name for name in function.__code__.co_names if APPLY_NAME.match(name))
    return {name: scope[name] for name in names if callable(scope.get(name))}


def rebound(function: Any, replacements: dict[str, Callable[..., Any]]) -> types.FunctionType | None:
    """Return a copy of a function that finds the replacements under their names; None where it cannot be copied.

    The copy has its own scope, so other users of the original see nothing. Decorators such as `torch.no_grad()`
    are copied around it.
    """
    if not isinstance(function, types.FunctionType):
        return None
    inner = getattr(function, "__wrapped__", None)
    if inner is None:
        return _copied(function, _scope(function, replacements), function.__closure__)
    inside = rebound(inner, replacements)
    cells = function.__closure__ or ()
    if inside is None or not any(cell.cell_contents is inner for cell in cells):
        return None
    closure = tuple(types.CellType(inside) if cell.cell_contents is inner else cell for cell in cells)
    copy = _copied(function, function.__globals__, closure)
    vars(copy)["__wrapped__"] = inside  # as functools.wraps does
    return copy


def _scope(function: types.FunctionType, replacements: dict[str, Callable[..., Any]]) -> dict[str, Any]:
    names = set(_names(function.__code__))
    scope = {name: value for name, value in function.__globals__.items() if name in names}
    # No __name__: torch.compile would look names up in the module of that name instead, and find the original.
    return {**scope, "__builtins__": function.__globals__["__builtins__"], **replacements}


def _copied(function: types.FunctionType, scope: dict[str, Any], closure: Any) -> types.FunctionType:
    # Code of its own: CPython keeps there where it found a global name last, and two scopes would push each other out.
    copy = types.FunctionType(function.__code__.replace(), scope, function.__name__, function.__defaults__, closure)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__annotations__ = function.__annotations__
    copy.__qualname__, copy.__module__, copy.__doc__ = function.__qualname__, function.__module__, function.__doc__
    return copy


def _names(code: types.CodeType) -> Iterator[str]:
    """Yield the global names of a function's code, and of the functions defined inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
