"""What can be read off the Triton kernel's machine code without running it, for each kind of GPU.

usage: python -m proofs.gpu.static_facts [sm_90 …]          print the facts, by default for all targets
       python -m proofs.gpu.static_facts --write            put those of all targets into static_facts.json
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from proofs.cases import Case

TABLE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Gpu:
    """A GPU by its datasheet: memory in bytes per second, multiprocessors, clock in Hz."""

    name: str
    bandwidth: float
    processors: int
    clock: float

    @property
    def issue(self):
        """Instructions of a warp that can start in a second: four a clock on every multiprocessor."""
        return 4 * self.processors * self.clock


# One typical GPU for each target; used for a ratio, on paper.
TARGETS = {
    "sm_75": Gpu("T4", 320e9, 40, 1.59e9),
    "sm_80": Gpu("A100 80GB", 2039e9, 108, 1.41e9),
    "sm_86": Gpu("RTX 3090", 936e9, 82, 1.695e9),
    "sm_89": Gpu("RTX 4090", 1008e9, 128, 2.52e9),
    "sm_90": Gpu("H100 SXM", 3350e9, 132, 1.98e9),
    "sm_100": Gpu("B200", 8000e9, 148, 1.965e9),
    "sm_120": Gpu("RTX 5090", 1792e9, 170, 2.41e9),
}

_LLAMA = {"q_heads": 32, "k_heads": 8, "q_width": 128, "k_width": 128, "pairs": 64, "batch": 1, "seq": 2}
_MLA = {"q_heads": 128, "k_heads": 1, "q_width": 192, "k_width": 64, "pairs": 32, "side": "tail", "batch": 1, "seq": 2}
CONFIGURATIONS = {
    "llama bfloat16": Case(**_LLAMA, dtype="bfloat16", in_place=True),
    "llama bfloat16 interleaved": Case(**_LLAMA, dtype="bfloat16", in_place=True, layout="interleaved"),
    "llama bfloat16 out of place": Case(**_LLAMA, dtype="bfloat16"),
    "llama bfloat16 angles given": Case(**_LLAMA, dtype="bfloat16", in_place=True, source="table"),
    "llama float16 heads first": Case(**_LLAMA, dtype="float16", in_place=True, strides="bhsd"),
    "llama float32": Case(**_LLAMA, in_place=True),
    "glm bfloat16 half of the head": Case(**_LLAMA | {"pairs": 32}, dtype="bfloat16", layout="interleaved"),
    "mla bfloat16": Case(**_MLA, dtype="bfloat16", in_place=True, layout="interleaved"),
}


def facts(target):
    """Return the facts of every configuration for one target."""
    from proofs.gpu import triton_driver

    triton_driver.use(int(target.removeprefix("sm_")))
    return {name: _facts(case) for name, case in CONFIGURATIONS.items()}


def _facts(case):
    from proofs.gpu import triton_driver
    from proofs.tensors import Call
    from tightrope.backends.torch.kernels.triton_launch import rotate

    triton_driver.LAUNCHES.clear()
    if problem := Call(case).run(rotate):
        raise ValueError(f"{case}: {problem}")
    kernel, grid, memory, executed = triton_driver.LAUNCHES[-1]
    tokens = case.batch * case.seq
    return {
        "launches": len(triton_driver.LAUNCHES),
        "programs_per_token": grid[0] * grid[1] // tokens,
        "warps": kernel.metadata.num_warps,
        **_resources(kernel.asm["cubin"]),
        "share_executed": round(executed, 3),
        "bytes_asked_for_per_token": memory.loaded // tokens,
        "bytes_written_per_token": memory.stored // tokens,
        "unfused_additions": len(re.findall(r"\b(?:add|sub)\.(?:rn\.)?f32", kernel.asm["ptx"])),
    }


def _resources(cubin):
    """Return registers, stack, local memory, shared memory, instructions, and accesses to memory by width."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = dict(
            re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", _run("cuobjdump", "--dump-resource-usage", file.name))
        )
        code = _run("nvdisasm", "-c", file.name)
    opcodes = re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)", code, re.MULTILINE)
    opcodes = [opcode for opcode in opcodes if opcode != "NOP"]
    return {
        "registers": int(usage["REG"]),
        "stack": int(usage["STACK"]),
        "local": int(usage["LOCAL"]),
        "spills": sum(opcode.startswith(("LDL", "STL")) for opcode in opcodes),
        "instructions": len(opcodes),
        "loads": _widths(opcodes, "LDG"),
        "stores": _widths(opcodes, "STG"),
    }


def _widths(opcodes, name):
    """Return how many accesses there are of each width in bits."""
    widths = (re.search(r"\.(?:U|S)?(8|16|64|128)\b", opcode) for opcode in opcodes if opcode.startswith(name))
    return dict(sorted(Counter(match.group(1) if match else "32" for match in widths).items(), key=lambda x: int(x[0])))


def _run(tool, *arguments):
    import triton

    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / tool
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout


def issue_to_memory(target, found):
    """Return the time to issue the instructions over the time to move the bytes, on paper: below 1 memory decides.

    Every byte that is written was read once; what else is asked for, tables and positions, lies in caches. A program
    takes one of two branches, q or k: of its machine code it issues the share that it executes of its PTX.
    """
    gpu = TARGETS[target]
    issued = found["instructions"] * found["share_executed"] * found["warps"] * found["programs_per_token"]
    moved = 2 * found["bytes_written_per_token"]
    return (issued / gpu.issue) / (moved / gpu.bandwidth)


def main(*arguments):
    import triton

    targets = [argument for argument in arguments if argument != "--write"] or list(TARGETS)
    found = {"triton": triton.__version__, "targets": {target: facts(target) for target in targets}}
    if "--write" in arguments:
        TABLE.write_text(json.dumps(found, indent=1) + "\n")
    else:
        print(json.dumps(["triton", found["triton"]]))
        for target, of_target in found["targets"].items():
            print(json.dumps([target, of_target]))


if __name__ == "__main__":
    main(*sys.argv[1:])
