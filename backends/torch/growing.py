"""`tightrope::tables`: frequencies that follow a length which a compiled graph gets as a number.

The graph holds the operator, whatever the length; the frequencies are worked out on the host each time it runs.
"""

from collections.abc import Sequence

import torch

from tightrope.backends.rates import host_rates
from tightrope.backends.torch.placing import place_values


# A CUDA graph would replay the tables of the length it was captured at.
@torch.library.custom_op("tightrope::tables", mutates_args=(), tags=(torch.Tag.cudagraph_unsafe,))
def tables(
    like: torch.Tensor, name: str, lengths: Sequence[int], pairs: int, exact: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `turns` (lengths, pairs) and `gains` (lengths,) of `rates.host_rates`, on the device of `like`."""
    host = host_rates(name, tuple(lengths))
    return place_values(host.turns, like.device), place_values(host.gains, like.device)


@tables.register_fake
def _(like: torch.Tensor, name: str, lengths: Sequence[int], pairs: int, exact: bool) -> tuple[torch.Tensor, ...]:
    turns = torch.empty(len(lengths), pairs, dtype=torch.int64 if exact else torch.float32, device=like.device)
    return turns, torch.empty(len(lengths), dtype=torch.float32, device=like.device)
