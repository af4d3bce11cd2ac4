"""What MLX makes of functions, see `tightrope.backends.protocol`."""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx


def vjp(
    function: Callable[..., Any], inputs: Sequence[mx.array], cotangents: Sequence[mx.array]
) -> tuple[mx.array, ...]:
    """Return the gradients of Σ function(*inputs) · cotangents with respect to the inputs."""
    return tuple(mx.vjp(function, list(inputs), list(cotangents))[1])


def compiled(function: Callable[..., Any], device: str) -> Callable[..., Any]:
    """Return a function as the framework's compiler makes it: one graph, or it raises."""
    made: Callable[..., Any] = mx.compile(function)
    return made
