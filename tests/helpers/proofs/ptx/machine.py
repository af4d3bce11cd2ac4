"""Run a program: every thread of the grid at once, one array element per thread and register.

Where threads have branched apart, those at the lowest instruction go on first, so that they meet again.
"""

import re

import numpy as np

from proofs.ptx.memory import AccessError
from proofs.ptx.operands import WARP, immediate, packed, special_registers, split_address
from proofs.ptx.operations import TYPES, operation
from proofs.ptx.program import UnsupportedError

_SHARED_BYTES = 1 << 16


def run(program, grid, block, arguments, memory):
    """Execute a kernel; return the share of its instructions that a thread executes, on average.

    Args:
        program: See `parse`.
        grid: Blocks in x, y, z.
        block: Threads of a block, in x alone.
        arguments: A value per parameter: an integer, a float, or bytes for an array.
        memory: What it may touch; see `Memory`.
    """
    machine = _Machine(program, grid, block, arguments, memory)
    with np.errstate(all="ignore"):
        executed = machine.run()
    memory.check_order()
    return executed / (len(machine.thread) * len(program.instructions))


class _Machine:
    def __init__(self, program, grid, block, arguments, memory):
        if program.threads not in (None, block):
            raise AccessError(f"{program.name} requires {program.threads} threads per block, got {block}")
        self.program, self.memory, self.block = program, memory, block
        self.thread = np.arange(int(np.prod(grid)) * block)
        self.position = np.zeros(len(self.thread), np.int64)
        self.parameters = packed(program.parameters, arguments)
        self.registers = {name: np.zeros(len(self.thread), dtype) for name, dtype in program.registers.items()}
        self.registers |= special_registers(grid, block)
        self.shared = np.zeros((int(np.prod(grid)), _SHARED_BYTES), np.uint8)
        self.moment = np.zeros((len(self.thread), 4), np.int64)
        self.moment[:, 2] = self.thread // block
        self.moment[:, 0] = self.moment[:, 2] * -(-block // WARP) + self.thread % block // WARP
        self.lanes = self.thread

    def run(self):
        end, executed = len(self.program.instructions), 0
        while (now := self.position.min()) < end:
            instruction = self.program.instructions[now]
            here = np.flatnonzero(self.position == now)
            self.position[here] = now + 1
            self.lanes = here
            if instruction.guard:
                self.lanes = here[self.registers[instruction.guard][here] != instruction.negated]
            if len(self.lanes):
                self._execute(instruction)
            executed += len(here)
        return executed

    def _execute(self, instruction):
        name = instruction.opcode[0]
        special = getattr(self, f"_{name}", None)
        try:
            if special is not None:
                special(instruction.opcode, *instruction.operands)
            elif any(isinstance(operand, tuple) for operand in instruction.operands):
                self._regroup(*instruction.operands)
            else:
                self._compute(instruction)
        except UnsupportedError as error:
            raise UnsupportedError(f"{error}, in: {instruction.text}") from None
        except AccessError as error:
            raise AccessError(f"{error}, at: {instruction.text}") from None

    def _compute(self, instruction):
        result, kinds, function = operation(instruction.opcode)
        target, *sources = instruction.operands
        if len(sources) != len(kinds):
            raise UnsupportedError("number of operands")
        self._write(target, result, function(*map(self._read, sources, kinds)))

    def _read(self, operand, kind):
        """Return an operand's values in the active lanes, seen as a type."""
        dtype = TYPES[kind]
        if operand in self.registers:
            values = self.registers[operand][self.lanes]
            return values if kind == "pred" else values.astype(f"u{dtype.itemsize}").view(dtype)
        if operand in self.program.parameters:  # its address
            return np.full(len(self.lanes), self.program.parameters[operand][0], dtype)
        return np.broadcast_to(immediate(operand, dtype), len(self.lanes))

    def _write(self, register, kind, values):
        """Write values of a type; a wider register takes signed ones with their sign."""
        storage = self.registers[register]
        values = np.ascontiguousarray(values, TYPES[kind])
        if kind[0] != "s" and kind != "pred":
            values = values.view(f"uint{8 * values.itemsize}")
        storage[self.lanes] = values.astype(storage.dtype)

    def _regroup(self, target, source):
        """`mov.b32 %r, {%a, %b}` and the reverse: the first is the lowest part."""
        if isinstance(source, tuple):
            parts = np.stack([self.registers[part][self.lanes] for part in source], -1)
            size = parts.itemsize * len(source)
            self._write(target, f"b{8 * size}", parts.view(f"u{size}")[:, 0])
            return
        size = self.registers[source].itemsize // len(target)
        parts = self.registers[source][self.lanes, None].view(f"u{size}")
        for part, name in zip(parts.T, target, strict=True):
            if name != "_":
                self._write(name, f"b{8 * size}", part)

    # Instructions that are no arithmetic, by the first part of their name.

    def _bra(self, opcode, target):
        self.position[self.lanes] = self.program.labels[target]

    def _ret(self, opcode):
        self.position[self.lanes] = len(self.program.instructions)

    _exit = _ret

    def _bar(self, opcode, *operands):
        column = 0 if opcode[1] == "warp" else 2
        arrived = np.unique(self.moment[self.lanes, column])
        alive = self.position < len(self.program.instructions)
        if (np.isin(self.moment[:, column], arrived) & alive).sum() != len(self.lanes):
            raise AccessError("a barrier that not every thread reaches")
        self.moment[self.lanes, column + 1] += 1

    _barrier = _bar

    def _shfl(self, opcode, target, value, source, clamp, members):
        if opcode[1:] != ("sync", "idx", "b32") or clamp != "31" or self.block % WARP:
            raise UnsupportedError("shuffle")
        everyone = np.zeros(len(self.thread), np.uint32)
        everyone[self.lanes] = self._read(value, "b32")
        index = self.lanes // WARP * WARP + self._read(source, "u32").astype(np.int64) % WARP
        if not np.isin(index, self.lanes).all():
            raise AccessError("a shuffle reads a lane that does not take part")
        self._write(target, "b32", everyone[index])

    def _ld(self, opcode, target, address):
        names, kind, size = self._accessed(opcode, target)
        space = opcode[1]
        if space == "param":
            name, offset = split_address(address)
            start = self._read(name, "b64").astype(np.int64) + offset
            octets = self.parameters[start[:, None] + np.arange(size)]
        elif space == "global":
            octets = self.memory.load(self._at(address), size, self.thread[self.lanes], self.moment[self.lanes])
        else:
            octets = self.shared[self._shared_at(address, size)]
        parts = np.ascontiguousarray(octets).view(TYPES[kind])
        for name, part in zip(names, parts.T, strict=True):
            self._write(name, kind, part)

    def _st(self, opcode, address, source):
        names, kind, size = self._accessed(opcode, source)
        octets = np.stack([self._read(name, kind) for name in names], -1).view(np.uint8)
        if opcode[1] == "global":
            self.memory.store(self._at(address), octets, self.thread[self.lanes], self.moment[self.lanes])
        else:
            self.shared[self._shared_at(address, size)] = octets

    def _accessed(self, opcode, names):
        """Return (registers, type of each, bytes of all) of a load or a store."""
        space, *modifiers, kind = opcode[1:]
        if space not in ("param", "global", "shared") or not {"v2", "v4", "nc"}.issuperset(modifiers):
            raise UnsupportedError("memory access")
        names = names if isinstance(names, tuple) else (names,)
        return names, kind, TYPES[kind].itemsize * len(names)

    def _at(self, address):
        name, offset = split_address(address)
        return self.registers[name][self.lanes].astype(np.uint64) + np.uint64(offset % 2**64)

    def _shared_at(self, address, size):
        at = self._at(address).astype(np.int64)
        if (at % size).any() or (at + size > _SHARED_BYTES).any():
            raise AccessError("bad access to shared memory")
        return self.moment[self.lanes, 2, None], at[:, None] + np.arange(size)

    def _ldmatrix(self, opcode, targets, address):
        count, transposed = _matrices(opcode)
        tiles = self._matrix_rows(address, count)
        for name, tile in zip(targets, tiles, strict=True):
            tile = tile.swapaxes(-1, -2) if transposed else tile
            self._write(name, "b32", np.ascontiguousarray(tile).view(np.uint32).reshape(-1))

    def _stmatrix(self, opcode, address, sources):
        _, transposed = _matrices(opcode)
        for number, name in enumerate(sources):
            tile = self._read(name, "b32").view(np.uint16).reshape(-1, 8, 8)
            tile = tile.swapaxes(-1, -2) if transposed else tile
            where = self._matrix_addresses(address, number)
            self.shared[where] = np.ascontiguousarray(tile).view(np.uint8).reshape(-1, 16)

    def _matrix_rows(self, address, count):
        return [self.shared[self._matrix_addresses(address, n)].view(np.uint16).reshape(-1, 8, 8) for n in range(count)]

    def _matrix_addresses(self, address, number):
        """Rows of the number-th 8 × 8 matrix: their addresses come from eight lanes of each warp."""
        if len(self.lanes) % WARP:
            raise AccessError("a matrix access that not every lane reaches")
        block, octets = self._shared_at(address, 16)
        rows = np.arange(len(self.lanes)).reshape(-1, WARP)[:, 8 * number : 8 * number + 8].reshape(-1)
        return block[rows], octets[rows]


def _matrices(opcode):
    count = re.search(r"x([124])", ".".join(opcode))
    if opcode[-2:] not in (("shared", "b16"),) or "m8n8" not in opcode:
        raise UnsupportedError("matrix access")
    return int(count.group(1)), "trans" in opcode
