"""Values on a device."""

import numpy as np
import torch

from tightrope.backends.shared.ops import Values


def place_values(values: Values, device: torch.device) -> torch.Tensor:
    """Return values as a tensor on the device."""
    array = np.frombuffer(values.raw, values.dtype).reshape(values.shape)
    if torch._C._len_torch_dispatch_stack():  # fake where tensors are fake
        return torch.tensor(array.tolist(), dtype=getattr(torch, values.dtype), device=device)
    # Not an inference tensor, even under inference_mode: it is kept, and may be used where gradients flow.
    with torch.inference_mode(False):
        return torch.from_numpy(array.copy()).to(device)
