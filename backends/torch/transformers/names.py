"""The rotary functions that modeling files of transformers import, on PyTorch."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray

from tightrope.backends.shared.ops import Ops
from tightrope.backends.shared.rope_utils import InitFunctions, RopeUtils
from tightrope.backends.torch import module
from tightrope.backends.torch.ops import TorchOps
from tightrope.rope.errors import RopeConfigError, shortened


class _TorchNames(RopeUtils):
    ops: ClassVar[Ops] = TorchOps()
    rotary = module.RotaryEmbedding
    rotate = staticmethod(module.rotate)

    def concatenate(self, arrays: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat(tuple(arrays), -1)

    def interleave(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return torch.stack((first, second), -1).flatten(-2)

    def parts(self, array: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return array.real, array.imag

    def on_device(self, array: NDArray[np.float32], device: Any) -> torch.Tensor:
        try:
            return torch.tensor(array, device=device)
        except (RuntimeError, TypeError) as error:
            problem = str(error).partition("\n")[0]
            raise RopeConfigError(f"device must be one that torch has, got {shortened(device)}: {problem}") from error

    def assign(self, module: Any, name: str, value: torch.Tensor) -> None:
        if name in module._buffers:
            module.register_buffer(name, value, persistent=False)
        else:
            setattr(module, name, value)


NAMES: Final = _TorchNames()
INIT_FUNCTIONS: Final = InitFunctions(NAMES)
