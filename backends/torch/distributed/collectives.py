"""What the processes of torch.distributed tell one another, and what torch tells about them."""

import sys
from typing import Any, Final

import torch

from tightrope.backends.torch.constants import constant_in_graphs
from tightrope.rope.errors import RopeConfigError, shortened

# Where torch keeps the state of context_parallel(): 2.10 and later, and before.
_CONTEXT_PARALLEL: Final = (
    "torch.distributed.tensor.experimental._context_parallel._attention",
    "torch.distributed.tensor.experimental._attention",
)


def largest_in_group(numbers: torch.Tensor, group: Any) -> torch.Tensor:
    """Return the maximum of each number over all processes of a ProcessGroup or of a DeviceMesh of one dimension."""
    from torch import distributed
    from torch.distributed.device_mesh import DeviceMesh

    if isinstance(group, DeviceMesh) and group.ndim == 1:
        group = group.get_group()
    if not isinstance(group, distributed.ProcessGroup):
        raise RopeConfigError(f"group must be a ProcessGroup or a DeviceMesh of one dimension, got {shortened(group)}")
    numbers = numbers.clone()
    distributed.all_reduce(numbers, op=distributed.ReduceOp.MAX, group=group)
    return numbers


@constant_in_graphs
def sequence_is_sharded() -> bool:
    """Return whether this runs within torch's context_parallel(), which then has its own attention in torch's place."""
    attention = torch.nn.functional.scaled_dot_product_attention
    modules = (sys.modules.get(name) for name in _CONTEXT_PARALLEL)
    return any(attention in getattr(module, "_replaced_functions", ()) for module in modules if module is not None)
