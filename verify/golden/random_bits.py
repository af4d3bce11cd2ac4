"""Numbers that are the same on every machine and in every version of numpy: SplitMix64, in integer arithmetic alone."""

import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.reference import DType, round_to

# Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))


def bits(name: str, count: int) -> NDArray[np.uint64]:
    """Return 64 random bits, `count` times; the name is the seed."""
    seed = np.uint64(zlib.crc32(name.encode()) << 32)
    z = seed + np.arange(1, count + 1, dtype=np.uint64) * _GAMMA
    for shift, factor in _MIX:
        z = (z ^ (z >> np.uint64(shift))) * factor
    return z ^ (z >> np.uint64(31))


def floats(name: str, shape: tuple[int, ...], dtype: DType) -> NDArray[np.float32]:
    """Return values of dtype in [−1, 1], held in float32."""
    drawn = bits(name, int(np.prod(shape))) >> np.uint64(40)
    # 24 bits and a power of two: exact in float32, so no machine can round differently.
    return round_to((drawn.astype(np.float32) * np.float32(2.0**-23) - np.float32(1)).reshape(shape), dtype)


def positions(name: str, shape: tuple[int, ...], below: int) -> NDArray[np.int64]:
    """Return positions in [0, below), the last one among them."""
    drawn: NDArray[Any] = (bits(name, int(np.prod(shape))) % np.uint64(below)).astype(np.int64).reshape(shape)
    drawn[..., -1] = below - 1
    return drawn
