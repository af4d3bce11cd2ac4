"""What a family's apply function does, found out by calling it, and the same with one fused rotation.

transformers' attention calls a function of its module, `apply_rotary_pos_emb` or a like name. It is replaced for one
attention class of one model by giving the instances a copy of `forward` that finds ours under that name.
"""

import inspect
import re
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from tightrope.backends.torch.hf_rotary import FORMS, Form, pairs_of
from tightrope.backends.torch.module import rotate
from tightrope.rope.config import LAYOUTS, Layout
from tightrope.rope.reference import rotate as exact_rotate

_APPLY: Final = re.compile(r"^_?apply_rotary(?!.*(vision|2d|time))")
_FIRST: Final = ("q", "xq", "x", "query", "tensor")
_SECOND: Final = ("k", "xk", "key")
_COMPLEX: Final = "freqs_cis"
_ORDERS: Final = {1: "bhsd", 2: "bshd"}

# Two products and a sum of float32: at most 2⁻²⁴ (2 |y| + 2 |x1 c| + 2 |x2 s|) < 8 · 2⁻²⁴ · max |x|, cos and sin below 1.
_ROUNDING: Final = 8 * 2.0**-24


@dataclass(frozen=True)
class Meaning:
    """What an apply function does.

    Attributes:
        layout: Which channels it pairs.
        order: Of q and k where it has no argument that says it.
    """

    layout: Layout
    order: str = "bhsd"


def apply_names(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names under which a forward method calls apply functions of its module."""
    function = inspect.unwrap(forward)
    if not isinstance(function, types.FunctionType):
        return ()
    scope = function.__globals__
    return tuple(name for name in function.__code__.co_names if _APPLY.match(name) and callable(scope.get(name)))


def meaning_of(apply: Callable[..., Any], form: Form) -> Meaning | None:
    """Return what an apply function does to q and k, None where it is not a rotation known here.

    It is called with random numbers, and its result compared with the exact rotation: of all of q, and of wider q.
    Outputs that are de-interleaved, (x0, x2, …, x1, x3, …), count as the rotation: q · k is the same.
    """
    if not _arguments(apply, form):
        return None
    for layout in LAYOUTS:
        for order in ("bhsd", "bshd"):
            if _agrees(apply, form, layout, order, extra=0) and _agrees(apply, form, layout, order, extra=2) is not False:
                return Meaning(layout, order)
    return None


def _arguments(apply: Callable[..., Any], form: Form) -> tuple[str, ...]:
    """Return the parameters that a call has to fill: q, k (or one of them alone) and the angles; () if unknown."""
    try:
        names = list(inspect.signature(apply).parameters)
    except (TypeError, ValueError):
        return ()
    angles = (_COMPLEX,) if form == "complex" else ("cos", "sin")
    if not names or names[0] not in _FIRST or not set(angles) <= set(names):
        return ()
    second = names[1:2] if names[1] in _SECOND else []
    known = {names[0], *second, *angles, "unsqueeze_dim", "position_ids"}
    return (names[0], *second, *angles) if set(names) <= known else ()


def _agrees(apply: Callable[..., Any], form: Form, layout: Layout, order: str, extra: int) -> bool | None:
    """Say whether apply rotates so; None where it does not take these shapes."""
    batch, heads, seq, pairs = 2, 3, 5, 4
    random = np.random.default_rng(0)
    angles = random.uniform(-3, 3, (batch, seq, pairs))
    cos, sin = (torch.from_numpy(values.astype(np.float32)) for values in (np.cos(angles), np.sin(angles)))
    shape = (batch, heads, seq) if order == "bhsd" else (batch, seq, heads)
    x = torch.from_numpy(random.standard_normal((*shape, 2 * pairs + extra)).astype(np.float32))
    output = FORMS[form](cos, sin)
    names = _arguments(apply, form)
    values = [*([x] * (len(names) - (1 if form == "complex" else 2))), *(output if form != "complex" else (output,))]
    try:
        turned = apply(**dict(zip(names, values, strict=True)))
    except (RuntimeError, IndexError, TypeError, ValueError):
        return None
    axis = 1 if order == "bhsd" else 2
    expected = exact_rotate(
        x.numpy(), np.expand_dims(cos.numpy().astype(float), axis), np.expand_dims(sin.numpy().astype(float), axis), layout=layout
    )
    results = turned if isinstance(turned, tuple) else (turned,)
    return all(_same(result, expected, x, layout, 2 * pairs) for result in results)


def _same(result: Any, expected: np.ndarray[Any, Any], x: torch.Tensor, layout: Layout, width: int) -> bool:
    if not isinstance(result, torch.Tensor) or result.shape != x.shape:
        return False
    bound = _ROUNDING * x.abs().max().item()
    gathered = np.concatenate((expected[..., :width:2], expected[..., 1:width:2], expected[..., width:]), -1)
    candidates = (expected, gathered) if layout == "interleaved" else (expected,)
    return any(np.abs(result.numpy() - candidate).max() <= bound for candidate in candidates)


def fused(apply: Callable[..., Any], form: Form, meaning: Meaning) -> Callable[..., Any]:
    """Return a function with apply's parameters and result that rotates by one fused kernel, pairs staying in place."""
    parameters = inspect.signature(apply).parameters
    names = tuple(parameters)
    first, second = names[0], names[1] if names[1] in _SECOND else None
    defaults = {name: item.default for name, item in parameters.items() if item.default is not item.empty}
    own_order = meaning.order

    def apply_fused(*args: Any, **kwargs: Any) -> Any:
        given = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
        order = _ORDERS.get(given["unsqueeze_dim"]) if "unsqueeze_dim" in given else own_order
        if order is None:
            return apply(**_in_dtype(given, given[first].dtype))
        cos, sin = pairs_of(form, given[_COMPLEX] if form == "complex" else (given["cos"], given["sin"]))
        k = None if second is None else given.get(second)
        turned = rotate(given[first], k, cos=cos, sin=sin, layout=meaning.layout, order=order)  # type: ignore[arg-type]  # of _ORDERS
        return turned if k is not None or second is None else (turned, None)

    return apply_fused


def _in_dtype(given: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Return the arguments with float32 tables in the dtype that the family's own function expects."""
    return {name: value.to(dtype) if name in ("cos", "sin") else value for name, value in given.items()}


def rebound(function: types.FunctionType, replacements: dict[str, Callable[..., Any]]) -> types.FunctionType:
    """Return a copy of a function that finds the replacements under their names.

    The copy has a scope of its own, so that other users of the original see nothing.
    """
    names = set(_names(function.__code__))
    scope = {name: value for name, value in function.__globals__.items() if name in names}
    # No __name__: torch.compile would look names up in the module of that name instead, and find the original.
    scope |= {"__builtins__": function.__globals__.get("__builtins__", __builtins__), **replacements}
    copy = types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, function.__closure__)
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
