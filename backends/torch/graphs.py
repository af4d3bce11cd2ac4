"""What a function says of itself to graphs of torch.compile."""

from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


def constant_in_graphs(function: Function) -> Function:
    """Mark a function that runs, and may raise, while a graph is made, and whose result the graph holds as a constant.

    It is `torch.compiler.assume_constant_result` without its import of the compiler, which takes as long as that of
    PyTorch itself and, through Triton, turns the GIL of a free-threaded Python back on.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]  # the compiler reads it
    return function
