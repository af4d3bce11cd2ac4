"""How many instructions a call takes, counted by valgrind's callgrind: the same from run to run, unlike its time.

usage: python tests/helpers/proofs/cpu/instructions.py [NAME…]

valgrind knows no AVX-512, so that the kernel is the one for AVX2; for one token most of a call is Python all the same.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

CALLS = {
    "given angles, in place": "rope.rotate_(q, k, angles=angles)",
    "given angles": "rope(q, k, angles=angles)",
    "offset, an int": "rope(q, k, offset=7)",
    "offset per row": "rope(q, k, offset=rows)",
    "positions": "rope(q, k, positions=positions)",
    "copy": "q2.copy_(q), k2.copy_(k)",
}
_FEW, _MANY = 100, 600
_CONTROL = "callgrind_control"


def main(names):
    """Print a line for each call."""
    for name in names or CALLS:
        print(f"{name:<24}{count(name):>10,} instructions", flush=True)


def count(name):
    """Return the instructions of one call, for one token of a Llama 3 of 8 billion parameters, bfloat16."""
    few, many = (counted(name, times) for times in (_FEW, _MANY))
    return round((many - few) / (_MANY - _FEW))  # what starts and stops the counting is counted, too


def counted(name, times):
    """Return the instructions of so many calls and of what is around them."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
        command += [sys.executable, __file__, "--run", name, str(times)]
        ran = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode or found is None:
        raise SystemExit(f"valgrind counted nothing:\n{ran.stderr[-2000:]}")
    return int(found[1])


def call_under_valgrind(name, times):
    """Make the call so often, counted, after some that are not."""
    import torch

    from tightrope.backends.torch import RotaryEmbedding

    torch.set_num_threads(1)
    rope = RotaryEmbedding({"model_type": "llama", "head_dim": 128, "rope_theta": 5e5})
    q, k = (torch.randn(1, heads, 1, 128, dtype=torch.bfloat16) for heads in (32, 8))
    positions, rows = torch.tensor([[7]]), torch.tensor([7])
    values = {
        "rope": rope, "q": q, "k": k, "q2": q.clone(), "k2": k.clone(), "rows": rows, "positions": positions,
        "angles": rope.angles(positions),
    }  # fmt: skip
    run = eval(f"lambda: ({CALLS[name]})", values)
    for _ in range(_FEW):
        run()
    subprocess.run([_CONTROL, "--instr=on", str(os.getpid())], check=True, stdout=subprocess.DEVNULL)
    for _ in range(times):
        run()
    subprocess.run([_CONTROL, "--instr=off", str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        call_under_valgrind(sys.argv[2], int(sys.argv[3]))
    else:
        main(sys.argv[1:])
