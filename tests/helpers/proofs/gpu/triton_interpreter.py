"""Triton's interpreter, fixed: version 3.9 truncates float32 to bfloat16, where every GPU rounds to nearest even."""

import os

os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported

import numpy as np
import triton.language as tl
from triton.runtime import interpreter

from tightrope.rope.reference import round_to


def mend():
    """Make the interpreter round to bfloat16 as hardware does."""
    builder = interpreter.InterpreterBuilder
    original = builder.cast_impl

    def cast(self, source, dtype):
        if (source.dtype.scalar, dtype.scalar) != (tl.float32, tl.bfloat16):
            return original(self, source, dtype)
        upper = np.asarray(round_to(source.data, "bfloat16")).view(np.uint32) >> 16
        return interpreter.TensorHandle(upper.astype(np.uint16), dtype.scalar)

    builder.cast_impl = cast
