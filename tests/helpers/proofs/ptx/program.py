"""PTX text → instructions, labels, registers and parameters of its one kernel."""

import re
from dataclasses import dataclass

# What may stand before an instruction: braces of a scope, a label.
_PREFIX = re.compile(r"\s*(?:[{}]|([$\w]+)\s*:)")
REGISTER_TYPES = {"pred": "bool", "16": "uint16", "32": "uint32", "64": "uint64"}


class UnsupportedError(Exception):
    """The text holds something that this machine does not execute."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: `@!%p1 add.s32 %r1, %r2, 3;` → guard `%p1`, negated, opcode ("add", "s32"), operands."""

    guard: str | None
    negated: bool
    opcode: tuple[str, ...]
    operands: tuple[str | tuple[str, ...], ...]
    text: str


@dataclass(frozen=True)
class Program:
    """A kernel.

    Attributes:
        parameters: name → (offset, size) in bytes of the parameter space.
        registers: name → numpy dtype of its storage.
        labels: name → index of the instruction that it stands before.
        threads: Threads per block, where the text requires a number.
    """

    name: str
    parameters: dict[str, tuple[int, int]]
    registers: dict[str, str]
    instructions: list[Instruction]
    labels: dict[str, int]
    threads: int | None


def parse(text):
    """Return the program of the text's only kernel."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    entry = re.search(r"\.visible\s+\.entry\s+([\w$]+)\s*\((.*?)\)([^{]*)\{(.*?)\n\}", text, re.DOTALL)
    name, parameters, directives, body = entry.groups()
    threads = re.search(r"\.reqntid\s+(\d+)", directives)
    registers, instructions, labels = _statements(body)
    return Program(
        name, _parameters(parameters), registers, instructions, labels, int(threads.group(1)) if threads else None
    )


def _parameters(text):
    offset, found = 0, {}
    for declaration in filter(None, map(str.strip, text.split(","))):
        size, align, name = _parameter(declaration)
        offset = -(-offset // align) * align
        found[name] = (offset, size)
        offset += size
    return found


def _parameter(declaration):
    match = re.fullmatch(
        r"\.param\s+(?:\.align\s+(\d+)\s+)?\.[a-z](\d+)\s+(?:\.ptr\s+(?:\.\w+\s+)*?(?:\.align\s+\d+\s+)?)?([\w$]+)(?:\[(\d+)\])?",
        declaration,
    )
    if not match:
        raise UnsupportedError(declaration)
    align, bits, name, count = match.groups()
    size = int(bits) // 8 * int(count or 1)
    return size, int(align or size), name


def _statements(body):
    registers, instructions, labels = {}, [], {}
    body = re.sub(r"^\s*\.(?:loc|file)\b[^\n]*", "", body, flags=re.MULTILINE)
    for statement in body.split(";"):
        while prefix := _PREFIX.match(statement):
            if prefix.group(1):
                labels[prefix.group(1)] = len(instructions)
            statement = statement[prefix.end() :]
        statement = statement.strip()
        if statement.startswith(".reg"):
            registers |= _registers(statement)
        elif statement and not statement.startswith(".pragma"):
            instructions.append(_instruction(statement))
    return registers, instructions, labels


def _registers(statement):
    kind, names = re.fullmatch(r"\.reg\s+\.(?:[a-z](?=\d))?(\w+)\s+(.*)", statement).groups()
    found = {}
    for name in re.split(r"\s*,\s*", names):
        numbered = re.fullmatch(r"(%?[\w$]+)<(\d+)>", name)
        every = [f"{numbered.group(1)}{i}" for i in range(int(numbered.group(2)))] if numbered else [name]
        found |= dict.fromkeys(every, REGISTER_TYPES[kind])
    return found


def _instruction(statement):
    match = re.fullmatch(r"(?:@(!?)(%?[\w$]+)\s+)?([a-z][\w.:]*)\s*(.*)", statement, re.DOTALL)
    if not match:
        raise UnsupportedError(statement)
    negated, guard, opcode, operands = match.groups()
    opcode = tuple(opcode.replace("::cta", "").split("."))  # shared memory is a block's own, said or not
    return Instruction(guard, bool(negated), opcode, _operands(operands), statement)


def _operands(text):
    """Split at commas; `{a, b}` becomes a tuple of names."""
    found = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*", text)
    return tuple(
        tuple(name.strip() for name in operand[1:-1].split(",")) if operand.startswith("{") else operand.strip()
        for operand in found
    )
