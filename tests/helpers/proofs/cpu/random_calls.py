"""Random calls of the C extension at a path, on memory of its own: nothing before and behind a tensor is readable.

usage: python -m proofs.cpu.random_calls EXTENSION CALLS address|thread

Knows no framework, so that a sanitizer's runtime need not get along with one: tensors are told as numbers.
"""

import ctypes
import random
import sys
from concurrent.futures import ThreadPoolExecutor

from proofs.cpu import native_build

SIZES = (4, 2, 2, 4, 8)
FLOAT32, INT32, INT64 = 0, 3, 4
LIBC = ctypes.CDLL(None)
LIBC.malloc.restype, LIBC.malloc.argtypes, LIBC.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]


class Memory:
    """Blocks of one call; each as long as the elements that it holds."""

    def __init__(self, rng):
        self.rng, self.blocks = rng, []

    def tensor(self, dtype, shape, *, whole=False):
        """Return a tensor as (address, dtype, shape, strides), its axes in any order, with gaps or without."""
        order = list(range(len(shape)))
        if not whole and self.rng.random() < 0.5:
            self.rng.shuffle(order)
        strides, step = [0] * len(shape), 1
        for axis in reversed(order):
            strides[axis], step = step, step * max(shape[axis], 1)
            if not whole and self.rng.random() < 0.2:
                step += self.rng.randrange(3)
        last = sum(stride * max(size - 1, 0) for stride, size in zip(strides, shape, strict=True))
        size = 0 if 0 in shape else (last + 1) * SIZES[dtype]
        return self.block(self.rng.randbytes(size)), dtype, tuple(shape), tuple(strides)

    def block(self, data):
        """Return the address of a copy."""
        address = LIBC.malloc(max(len(data), 1))
        ctypes.memmove(address, data, len(data))
        self.blocks.append(address)
        return address

    def indices(self, count, below):
        """Return a tensor of int32 below a number."""
        values = (ctypes.c_int32 * count)(*(self.rng.randrange(below) for _ in range(count)))
        return self.block(bytes(values)), INT32, (count,), (1,)

    def free(self):
        """Give everything back."""
        for address in self.blocks:
            LIBC.free(address)


def call(extension, rng, threads):
    """Rotate once, by angles of either source."""
    memory, order = Memory(rng), rng.randrange(3)
    pairs = rng.choice((1, 2, 3, 7, 8, 15, 16, 17, 24, 32, 33, 48, 64, 100, 128))
    batch, seq = rng.choice(((1, rng.randrange(70)), (1, rng.randrange(9)), (3, rng.randrange(5)), (2, 1)))
    if order == 2 and seq != 1:
        batch = 1
    wide = 2 * pairs + rng.choice((0, 0, 0, 1, 16))
    xs, outs = [], []
    for _ in range(rng.choice((1, 2))):
        dtype, heads = rng.randrange(3), rng.choice((0, 1, 2, 3, 4, 5, 8, 13, 32))
        shape = ((batch, heads, seq, wide), (batch, seq, heads, wide), (batch * seq, heads, wide))[order]
        xs.append(memory.tensor(dtype, shape))
        outs.append(xs[-1] if rng.random() < 0.5 else memory.tensor(dtype, shape))
    how = rng.randrange(len(extension.variants)), -1, rng.randrange(2), rng.random() < 0.5, order, rng.random() < 0.5
    extension.rotate(*how, threads, tuple(xs), tuple(outs), *angles(memory, rng, batch, seq, pairs, packed=order == 2))
    memory.free()


def angles(memory, rng, batch, seq, pairs, *, packed):
    """Return cos and sin, or positions with what belongs to them."""
    rows = batch if packed else rng.choice((1, batch))
    if rng.random() < 0.5:
        apart = (rows, seq, pairs + rng.choice((0, 3)))
        return [(*memory.tensor(FLOAT32, apart, whole=True)[:2], (rows, seq, pairs), _strides(apart)) for _ in range(2)]
    axes, tables = rng.choice((1, 3)), rng.choice((1, 2))
    return [
        memory.tensor(rng.choice((INT32, INT64)), (axes, rows, seq)),
        memory.tensor(INT64, (tables, pairs), whole=True),
        memory.tensor(FLOAT32, (tables,), whole=True),
        memory.indices(batch, tables) if tables > 1 else None,
        memory.indices(pairs, axes) if axes > 1 else None,
    ]


def _strides(shape):
    return shape[1] * shape[2], shape[2], 1


def main(path, calls, sanitizer):
    """Make the calls, one after another or from several threads at once."""
    extension, count = native_build.load(path), int(calls)
    if sanitizer == "address":
        rng = random.Random(1)
        for _ in range(count):
            call(extension, rng, threads=rng.choice((1, 1, 3)))
    else:
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(many, extension, seed, count // 4) for seed in range(4)]:
                done.result()
    print(f"{count} calls, variants {', '.join(extension.variants)}: nothing found")


def many(extension, seed, count):
    """Make calls of one thread."""
    rng = random.Random(seed)
    for _ in range(count):
        call(extension, rng, threads=3)


if __name__ == "__main__":
    main(*sys.argv[1:])
