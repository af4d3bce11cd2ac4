"""What PyTorch makes of functions, see `tightrope.backends.protocol`."""

from collections.abc import Callable, Sequence
from typing import Any

import torch


def vjp(
    function: Callable[..., Any], inputs: Sequence[torch.Tensor], cotangents: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, ...]:
    """Return the gradients of Σ function(*inputs) · cotangents with respect to the inputs."""
    leaves = [x.detach().requires_grad_() for x in inputs]
    with torch.enable_grad():
        results = function(*leaves)
        outputs = results if isinstance(results, tuple) else (results,)
        return torch.autograd.grad(outputs, leaves, list(cotangents))


def compiled(function: Callable[..., Any], device: str) -> Callable[..., Any]:
    """Return a function as the framework's compiler makes it: one graph, or it raises."""
    torch.compiler.reset()  # or graphs that were made before would count against PyTorch's limit for one function
    # Inductor makes C++ for a CPU, and not every machine that has one has a compiler.
    made: Callable[..., Any] = torch.compile(
        function, fullgraph=True, backend="aot_eager" if device == "cpu" else "inductor"
    )
    return made
