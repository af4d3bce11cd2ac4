"""The shared kernel text as MLX's CUDA kernel: a prelude gives CUDA the few names of Metal that the text uses."""

from collections.abc import Callable
from typing import Final, cast

import mlx.core as mx

from tightrope.backends.kernels.gpu.source import functions

NAME: Final = "CUDA"
TYPES: Final = {mx.float32: "float", mx.bfloat16: "__nv_bfloat16", mx.float16: "__half"}

PRELUDE: Final = """
#define ROPE_FN __device__ __forceinline__
#define ROPE_BFLOAT __nv_bfloat16
using uint = unsigned int;
using ushort = unsigned short;
namespace metal {
ROPE_FN float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
}
template <typename T, typename U>
ROPE_FN T as_type(U value) {
  static_assert(sizeof(T) == sizeof(U), "as_type: sizes differ");
  return __builtin_bit_cast(T, value);
}
"""
# A grid of CUDA ends with whole blocks in x; the body leaves out the threads past its tokens.
_POSITION: Final = (
    "  const uint3 thread_position_in_grid = make_uint3(blockIdx.x * blockDim.x + threadIdx.x, blockIdx.y, 0);\n"
)


def compiled(name: str, inputs: list[str], outputs: list[str], body: str) -> Callable[..., list[mx.array]]:
    """Return a CUDA kernel; MLX writes its signature from what the body names."""
    made: object = mx.fast.cuda_kernel(
        name=name,
        input_names=inputs,
        output_names=outputs,
        source=_POSITION + body,
        header=PRELUDE + functions(),
        ensure_row_contiguous=False,  # a transposed q is read where it is
    )
    return cast(Callable[..., list[mx.array]], made)
