"""What a family's apply function does, found out by calling it, and the same with one fused rotation."""

import functools
import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from tightrope.backends.shared.ops import Order
from tightrope.backends.torch.dispatch import rotate_pair
from tightrope.backends.torch.module import RotaryEmbedding
from tightrope.backends.torch.transformers.rotary import FORMS, Form, table_of
from tightrope.rope.config.terms import LAYOUTS, SIDES, Layout, Side
from tightrope.rope.reference import arrangements
from tightrope.rope.reference import rotate as exact_rotate

# Not those of images, of time, or of two axes at once.
APPLY_NAME: Final = re.compile(r"^_?apply_rotary(?!.*(vision|2d|time))")

_FIRST: Final = ("q", "xq", "x", "query")
_SECOND: Final = ("k", "xk", "key")
_COMPLEX: Final = "freqs_cis"
_NO_MATTER: Final = ("unsqueeze_dim", "position_ids")
_ORDERS: Final[dict[Any, Order]] = {1: "bhsd", 2: "bshd"}

# Two products and a sum of float32, cos and sin at most 1: below 2⁻²⁴ · (2 + 2 + 4) · max |x|.
_ROUNDING: Final = 8 * 2.0**-24


@dataclass(frozen=True)
class Meaning:
    """What an apply function does.

    Attributes:
        layout: Which channels it pairs.
        side: Which end of wider q it rotates.
        transpose: It rotates by −angle (nanochat).
        order: Of q and k, where the function has no argument that says it.
    """

    layout: Layout
    side: Side
    transpose: bool
    order: Order


@functools.lru_cache(maxsize=256)
def meaning_of(apply: Callable[..., Any], form: Form) -> Meaning | None:
    """Return what an apply function does to q and k, None where it is not a rotation known here.

    It is called with random numbers, and its result compared with the exact rotation: of all of q, and of wider q.
    Outputs that are de-interleaved, (x0, x2, …, x1, x3, …), count as the rotation: q · k is the same.
    """
    if not arguments_of(apply, form):
        return None
    candidates = itertools.product(LAYOUTS, SIDES, (False, True), _ORDERS.values())
    for meaning in itertools.starmap(Meaning, candidates):
        if _agrees(apply, form, meaning, extra=0) and _agrees(apply, form, meaning, extra=2) is not False:
            return meaning
    return None


def _parameters(apply: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of an apply function; of one that kernel dispatch made a module, those of its forward."""
    try:
        return inspect.signature(apply.forward if isinstance(apply, torch.nn.Module) else apply).parameters
    except (TypeError, ValueError):
        return {}


def arguments_of(apply: Callable[..., Any], form: Form) -> tuple[str, ...]:
    """Return the parameters that a call has to fill, x or q and k, then the angles; () where they are not known.

    Others must have defaults: with those the function is tried.
    """
    parameters = _parameters(apply)
    names = list(parameters)
    angles = (_COMPLEX,) if form == "complex" else ("cos", "sin")
    if len(names) < 2 or names[0] not in _FIRST or not set(angles) <= set(names):
        return ()
    xs = names[:2] if names[1] in _SECOND else names[:1]
    others = set(names) - {*xs, *angles, *_NO_MATTER}
    return () if any(parameters[name].default is inspect.Parameter.empty for name in others) else (*xs, *angles)


def _agrees(apply: Callable[..., Any], form: Form, meaning: Meaning, extra: int) -> bool | None:
    """Return whether apply rotates so; None where it does not take q of these shapes."""
    batch, heads, seq, pairs = 2, 3, 5, 4
    random = np.random.default_rng(0)
    angles = random.uniform(-3, 3, (batch, seq, pairs))
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    shape = (batch, heads, seq) if meaning.order == "bhsd" else (batch, seq, heads)
    x = random.standard_normal((*shape, 2 * pairs + extra)).astype(np.float32)
    rotated = _called(apply, form, torch.from_numpy(x), FORMS[form](torch.from_numpy(cos), torch.from_numpy(sin)))
    if rotated is None:
        return None
    beside = (np.expand_dims(part.astype(np.float64), 1 if meaning.order == "bhsd" else 2) for part in (cos, sin))
    expected = exact_rotate(x, *beside, layout=meaning.layout, side=meaning.side, transpose=meaning.transpose)
    bound = _ROUNDING * float(np.abs(x).max())
    equal = arrangements(expected, pairs=pairs, layout=meaning.layout, side=meaning.side)
    return all(any(_close(y, e, bound) for e in equal) for y in rotated)


def _called(apply: Callable[..., Any], form: Form, x: torch.Tensor, output: Any) -> tuple[Any, ...] | None:
    """Return what apply makes of x, as q and as k; None where it does not take it."""
    names = arguments_of(apply, form)
    angles = (output,) if form == "complex" else output
    values = (*[x] * (len(names) - len(angles)), *angles)
    try:
        rotated = apply(**dict(zip(names, values, strict=True)))
    except (RuntimeError, IndexError, TypeError, ValueError):
        return None
    return rotated if isinstance(rotated, tuple) else (rotated,)


def _close(result: Any, expected: NDArray[Any], bound: float) -> bool:
    if not isinstance(result, torch.Tensor) or result.shape != expected.shape:
        return False
    return bool(np.abs(result.double().numpy() - expected).max() <= bound)


def fused(apply: Callable[..., Any], form: Form, meaning: Meaning) -> Callable[..., Any]:
    """Return a function with apply's parameters and result that rotates by one fused kernel, pairs staying in place."""
    parameters = _parameters(apply)
    names = tuple(parameters)
    pair = names[1] in _SECOND
    defaults = {name: item.default for name, item in parameters.items() if item.default is not item.empty}
    own_order = _ORDERS.get(defaults["unsqueeze_dim"], "bhsd") if "unsqueeze_dim" in defaults else meaning.order
    plain = len(arguments_of(apply, form))
    usual = arguments_of(apply, form) == names[:plain] and defaults.get("unsqueeze_dim", 1) in _ORDERS
    others = set(names) - {*arguments_of(apply, form), *_NO_MATTER}
    ops = RotaryEmbedding.ops
    how: dict[str, Any] = {"layout": meaning.layout, "side": meaning.side, "transpose": meaning.transpose}

    def apply_fused(*args: Any, **kwargs: Any) -> Any:
        # Nearly every call is (q, k, cos, sin): a decode step has too little work to hide a lookup by name.
        if usual and not kwargs and len(args) == plain:
            return rotated(args[0], args[1] if pair else None, args[1 + pair :], own_order)
        given = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
        order = _ORDERS.get(given["unsqueeze_dim"]) if "unsqueeze_dim" in given else own_order
        if order is None or any(given[name] is not defaults[name] for name in others):
            return apply(**_in_dtype(given, given[names[0]].dtype))
        angles = (given[_COMPLEX],) if form == "complex" else (given["cos"], given["sin"])
        return rotated(given[names[0]], given.get(names[1]) if pair else None, angles, order)

    def rotated(q: torch.Tensor, k: torch.Tensor | None, angles: tuple[torch.Tensor, ...], order: Order) -> Any:
        table = table_of(form, angles[0] if form == "complex" else angles)
        # The tables are HFRotary's, and fit: the checks of `rotate` would take as long as the rotation of one token.
        result = rotate_pair(ops, q, k, table, order=order, **how)
        return result if pair else result[0]

    return apply_fused


def _in_dtype(given: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Return the arguments with float32 tables in the dtype that the family's own function expects."""
    return {name: value.to(dtype) if name in ("cos", "sin") else value for name, value in given.items()}
