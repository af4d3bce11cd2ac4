"""Launch the shared kernel text on MLX arrays, in whatever language this machine's GPU is programmed."""

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from types import ModuleType
from typing import Final, NamedTuple

import mlx.core as mx

from tightrope.backends.kernels.gpu.source import AngleKernel, HeadShape, KernelText
from tightrope.backends.mlx.export import is_exporting
from tightrope.backends.mlx.kernels import cuda, metal
from tightrope.rope.config.terms import Layout, Side

_DTYPES: Final = frozenset({mx.float32, mx.bfloat16, mx.float16})

_VARIABLE: Final = "TIGHTROPE_GPU_KERNEL"
_THREADS_PER_GROUP: Final = 256
# Launches by shape: decode steps and short prompts come again, other lengths seldom do.
_REMEMBERED: Final = 256

# Outputs are fresh and whole, in the order of axes of their input.
_OUT_STRIDES: Final = """\
  const int64_t {x}_out_strides[4] = {{
      int64_t({x}_shape[1]) * {x}_shape[2] * {x}_shape[3], int64_t({x}_shape[2]) * {x}_shape[3], {x}_shape[3], 1}};
"""


class Launch(NamedTuple):
    """The arguments of a launch other than arrays: a tuple, since each call looks it up.

    Attributes:
        heads: How many of the arrays are rotated: 1 (q) or 2 (q and k).
        angles: The names of the others, see `tightrope.backends.kernels.gpu.source.angle_tensors`.
        layout: Which channels form a pair.
        side: Which end of the width is rotated.
        transpose: Rotate back.
        seq_axis: Which axis of q and k counts tokens, 1 or 2.
    """

    heads: int
    angles: tuple[str, ...]
    layout: Layout
    side: Side
    transpose: bool
    seq_axis: int


def launch(call: Launch, arrays: Sequence[mx.array]) -> list[mx.array]:
    """Return q, and k where there is one, rotated.

    Args:
        call: How.
        arrays: q and k, (batch, seq, heads, width) or (batch, heads, seq, width), of one dtype: float32, bfloat16 or
            float16; then the angles, whose batch is that of q. Any strides.
    """
    pairs = arrays[call.heads + ("turns" in call.angles)].shape[-1]  # cos, sin or positions, turns
    shapes = tuple([x.shape for x in arrays[: call.heads]])
    return _prepared(language(), call, pairs, shapes, tuple([array.dtype for array in arrays]))(inputs=list(arrays))


def launch_angles(names: tuple[str, ...], arrays: Sequence[mx.array]) -> list[mx.array]:
    """Return cos and sin of a phase, float32 (batch, seq, pairs), attention factor in.

    Args:
        names: The names of its arrays, see `tightrope.backends.kernels.gpu.source.angle_tensors`.
        arrays: These arrays.
    """
    given = dict(zip(names, arrays, strict=True))
    shape = (*given["positions"].shape[1:], given["turns"].shape[-1])
    dtypes = tuple([array.dtype for array in arrays])
    return _prepared_angles(language(), names, shape, dtypes)(inputs=list(arrays))


def serves(*xs: mx.array | None) -> bool:
    """Return whether a kernel may rotate these arrays: here and now on a GPU, and of one dtype that it computes in."""
    if mx.default_device().type != mx.gpu or os.environ.get(_VARIABLE) == "none" or is_exporting():
        return False
    dtypes = {x.dtype for x in xs if x is not None}
    return len(dtypes) <= 1 and dtypes.issubset(_DTYPES)


def language() -> ModuleType:
    """Return the module of the language that this machine's GPU is programmed in."""
    return cuda if mx.cuda.is_available() else metal


@lru_cache(maxsize=_REMEMBERED)
def _prepared(
    language: ModuleType, call: Launch, pairs: int, shapes: tuple[tuple[int, ...], ...], dtypes: tuple[mx.Dtype, ...]
) -> Callable[..., list[mx.array]]:
    """Return the launch of a rotation, which lacks nothing but its arrays."""
    described = [HeadShape(heads=shape[3 - call.seq_axis], width=shape[3]) for shape in shapes]
    kernel = KernelText(
        dtype=language.TYPES[dtypes[0]], q=described[0], k=described[1] if call.heads > 1 else None, pairs=pairs,
        angles=call.angles, layout=call.layout, side=call.side, transpose=call.transpose, seq_axis=call.seq_axis,
    )  # fmt: skip
    return partial(
        _compiled(language, kernel, ("q", "k")[: call.heads], dtypes),
        output_shapes=list(shapes),
        output_dtypes=list(dtypes[: call.heads]),
        grid=(shapes[0][0] * shapes[0][call.seq_axis] * pairs, kernel.blocks, 1),
        threadgroup=(_THREADS_PER_GROUP, 1, 1),
    )


@lru_cache(maxsize=_REMEMBERED)
def _prepared_angles(
    language: ModuleType, names: tuple[str, ...], shape: tuple[int, ...], dtypes: tuple[mx.Dtype, ...]
) -> Callable[..., list[mx.array]]:
    """Return the launch that computes cos and sin of this shape, which lacks nothing but its arrays."""
    return partial(
        _compiled(language, AngleKernel(pairs=shape[-1], angles=names), (), dtypes),
        output_shapes=[shape, shape],
        output_dtypes=[mx.float32, mx.float32],
        grid=(shape[0] * shape[1] * shape[2], 1, 1),
        threadgroup=(_THREADS_PER_GROUP, 1, 1),
    )


@cache
def _compiled(
    language: ModuleType, kernel: KernelText | AngleKernel, names: tuple[str, ...], dtypes: tuple[mx.Dtype, ...]
) -> Callable[..., list[mx.array]]:
    """Return the kernel that rotates the arrays of these names, or that writes cos and sin where there are none."""
    body = "".join(_OUT_STRIDES.format(x=name) for name in names) + kernel.body()
    # MLX keeps compiled code by its name alone, so a name stands for one text and one signature.
    digest = hashlib.sha256(f"{body}{dtypes}".encode()).hexdigest()[:16]
    outputs = [f"{name}_out" for name in names or ("cos", "sin")]
    compiled: Callable[..., list[mx.array]] = language.compiled(
        f"tightrope_rotate_{digest}", [*names, *kernel.angles], outputs, body
    )
    return compiled
