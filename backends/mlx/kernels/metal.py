"""The shared kernel text as MLX's Metal kernel, for Apple GPUs."""

from collections.abc import Callable
from typing import Final, cast

import mlx.core as mx

from tightrope.backends.kernels.gpu.source import METAL_PRELUDE, functions

NAME: Final = "Metal"
TYPES: Final = {mx.float32: "float", mx.bfloat16: "bfloat", mx.float16: "half"}


def compiled(name: str, inputs: list[str], outputs: list[str], body: str) -> Callable[..., list[mx.array]]:
    """Return a Metal kernel; MLX writes its signature from what the body names."""
    made: object = mx.fast.metal_kernel(
        name=name,
        input_names=inputs,
        output_names=outputs,
        source=body,
        header=METAL_PRELUDE + functions(),
        ensure_row_contiguous=False,  # a transposed q is read where it is
    )
    return cast(Callable[..., list[mx.array]], made)
