"""A machine that executes PTX, what a GPU compiler really emitted, in numpy: all threads of a grid in lockstep.

It shows which bits a kernel computes and where it reads and writes. Whatever it does not know it refuses: warp votes,
atomics, tensor instructions, approximate or flushing arithmetic. Lockstep hides a missing barrier between accesses to
shared memory, which compilers place; to global memory it is looked for.
"""

from proofs.ptx.machine import run
from proofs.ptx.memory import AccessError, Memory
from proofs.ptx.program import UnsupportedError, parse

__all__ = ["AccessError", "Memory", "UnsupportedError", "parse", "run"]
