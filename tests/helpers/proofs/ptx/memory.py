"""Global memory as a kernel sees it: a few buffers; bounds, alignment and order between threads are checked."""

import ctypes
from dataclasses import dataclass

import numpy as np

_NOBODY = -1


class AccessError(Exception):
    """An access that hardware would punish or, worse, would not."""


@dataclass
class _Buffer:
    start: int
    octets: np.ndarray
    writer: np.ndarray
    written: np.ndarray


class Memory:
    """Buffers of this process, by their real addresses: [(address, bytes)].

    Threads give their number and their moment, (threads, 4): warp, barriers it passed, block, barriers it passed.

    Attributes:
        loaded, stored: Bytes moved so far, by all threads.
    """

    def __init__(self, buffers):
        self._buffers = [self._watched(start, size) for start, size in sorted(set(buffers))]
        self._starts = np.array([buffer.start for buffer in self._buffers], np.uint64)
        self._loads = []
        self.loaded = self.stored = 0

    @staticmethod
    def _watched(start, size):
        octets = np.frombuffer((ctypes.c_uint8 * size).from_address(start), np.uint8)
        return _Buffer(start, octets, np.full(size, _NOBODY, np.int64), np.zeros((size, 4), np.int64))

    def load(self, addresses, size, threads, moments):
        """Return uint8 (threads, size)."""
        found = np.empty((len(addresses), size), np.uint8)
        for buffer, lanes, at in self._located(addresses, size):
            found[lanes] = buffer.octets[at]
            self._loads.append((buffer, at, threads[lanes, None], moments[lanes, None]))
        self.loaded += found.size
        return found

    def store(self, addresses, values, threads, moments):
        """Write uint8 (threads, size); two writers of one byte are a fault."""
        for buffer, lanes, at in self._located(addresses, values.shape[-1]):
            before = buffer.writer[at]
            buffer.writer[at] = threads[lanes, None]
            if (
                (before != _NOBODY) & (before != threads[lanes, None]) | (buffer.writer[at] != threads[lanes, None])
            ).any():
                raise AccessError("two threads write one byte")
            buffer.written[at] = moments[lanes, None]
            buffer.octets[at] = values[lanes]
        self.stored += values.size

    def check_order(self):
        """Raise where a thread reads a byte that another one writes, without a barrier between the two.

        Threads that write nothing are left out: where a tile is smaller than a block, Triton lets several threads load
        the same.
        """
        writers = np.unique(np.concatenate([np.unique(buffer.writer) for buffer in self._buffers]))
        for buffer, at, threads, moments in self._loads:
            writer, written = buffer.writer[at], buffer.written[at]
            same = moments[..., ::2] == written[..., ::2]
            ordered = (same & (moments[..., 1::2] < written[..., 1::2])).any(-1)
            if ((writer != _NOBODY) & (writer != threads) & np.isin(threads, writers) & ~ordered).any():
                raise AccessError("a thread reads a byte that another one writes, in no order")

    def _located(self, addresses, size):
        """Yield (buffer, lanes, indices of their bytes) for each buffer that is accessed."""
        if (addresses % np.uint64(size)).any():
            raise AccessError(f"an access of {size} bytes is not aligned to as many")
        index = np.searchsorted(self._starts, addresses, "right") - 1
        for number in np.unique(index):
            lanes = np.flatnonzero(index == number)
            buffer = self._buffers[number]
            offsets = (addresses[lanes] - np.uint64(buffer.start)).astype(np.int64)
            if number < 0 or (offsets + size > len(buffer.octets)).any():
                raise AccessError(f"an access of {size} bytes is outside of every buffer")
            yield buffer, lanes, offsets[:, None] + np.arange(size)
