"""What instructions read besides registers: immediates, addresses, parameters and what the hardware sets."""

import re

import numpy as np

from proofs.ptx.program import UnsupportedError

WARP = 32


def special_registers(grid, block):
    """Return the registers that tell a thread where it is, and the address of shared memory."""
    thread = np.arange(int(np.prod(grid)) * block)
    within, number = thread % block, thread // block
    gx, gy, gz = grid
    values = dict.fromkeys(("%tid.y", "%tid.z", "global_smem"), 0) | dict.fromkeys(("%ntid.y", "%ntid.z"), 1)
    values |= {"%tid.x": within, "%laneid": within % WARP, "%ntid.x": block}
    values |= {"%ctaid.x": number % gx, "%ctaid.y": number // gx % gy, "%ctaid.z": number // (gx * gy)}
    values |= {"%nctaid.x": gx, "%nctaid.y": gy, "%nctaid.z": gz}
    return {name: np.broadcast_to(value, len(thread)).astype(np.uint32) for name, value in values.items()}


def packed(parameters, arguments):
    """Return the parameter space: uint8."""
    space = np.zeros(max((offset + size for offset, size in parameters.values()), default=0), np.uint8)
    for (offset, size), value in zip(parameters.values(), arguments, strict=True):
        if isinstance(value, float):
            value = np.float32(value).tobytes()
        elif not isinstance(value, bytes):
            value = (int(value) % (1 << 8 * size)).to_bytes(size, "little")
        space[offset : offset + size] = np.frombuffer(value, np.uint8)
    return space


def split_address(text):
    """`[%rd4 + 8]` → ("%rd4", 8)."""
    name, offset = re.fullmatch(r"\[\s*([%\w$.]+)\s*(?:\+\s*(-?\w+))?\s*\]", text).groups()
    return name, int(offset or "0", 0)


def immediate(text, dtype):
    """Return a number written in an instruction, as a value of a type."""
    if re.fullmatch(r"0[fF][0-9a-fA-F]{8}", text):
        return np.array(int(text[2:], 16), np.uint32).view(dtype)
    if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)U?", text):
        value = int(text.rstrip("U"), 0)
        if dtype.kind == "b":
            return np.array(value != 0)
        return np.array(value % (1 << 8 * dtype.itemsize), f"u{dtype.itemsize}").view(dtype)
    raise UnsupportedError(f"operand {text}")
