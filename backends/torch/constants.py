"""Constants: values on a device, and functions whose results graphs of torch.compile hold."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from tightrope.backends.shared.ops import Values

Function = TypeVar("Function", bound=Callable[..., object])


def place_values(values: Values, device: torch.device) -> torch.Tensor:
    """Return values as a tensor on the device."""
    array = np.frombuffer(values.raw, values.dtype).reshape(values.shape)
    if torch._C._len_torch_dispatch_stack():  # fake where tensors are fake
        return torch.tensor(array.tolist(), dtype=getattr(torch, values.dtype), device=device)
    # Not an inference tensor, even under inference_mode: it is kept, and may be used where gradients flow.
    with torch.inference_mode(False):
        return torch.from_numpy(array.copy()).to(device)


def constant_in_graphs(function: Function) -> Function:
    """Mark a function that runs, and may raise, while a graph is made, and whose result the graph holds as a constant.

    It is `torch.compiler.assume_constant_result` without its import of the compiler, which takes as long as that of
    PyTorch itself and, through Triton, turns the GIL of a free-threaded Python back on.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]  # the compiler reads it
    return function
