"""Rows that lie further apart than 32 bits count, as in a prefill of a million tokens; a process of its own runs this.

usage: python -m proofs.far native|mps|sm_90     [what is wrong or null]

The memory between the rows is never touched, so no machine has to have it.
"""

import sys

import torch

from proofs.cases import Case, expected, inputs
from proofs.gpu.run_triton import say
from tightrope.backends.shared.angles import Phase

CASE = Case(dtype="bfloat16", batch=3, k_heads=0, in_place=True)
# 2 times this is beyond 31 bits, and the step itself is not: a product in 32 bits would go wrong.
_STEP = 2**30 + 64


def problem(rotate):
    """Say what is wrong with q as this launch function rotates it in place, None where nothing is."""
    given = inputs(CASE)
    rows, seq, heads, width = given.q.shape
    memory = torch.empty((rows - 1) * _STEP + seq * heads * width, dtype=torch.bfloat16)
    q = memory.as_strided(given.q.shape, (_STEP, heads * width, width, 1))
    q.copy_(torch.from_numpy(given.q))
    positions, turns, factors = map(torch.from_numpy, (given.positions, given.turns, given.gains))
    angles = Phase(positions=positions, turns=turns, attention_factors=factors)
    rotate(q, None, q, None, angles, layout=CASE.layout, side=CASE.side, transpose=CASE.transpose)
    wrong = int((q.float() != torch.from_numpy(expected(CASE, given)[0])).sum())
    return f"{wrong} of {q.numel()} elements differ" if wrong else None


def native():
    from tightrope.backends.torch.kernels.cpu import kernel

    def rotate(q, k, q_out, k_out, angles, **how):
        kernel.rotate((q,), (q_out,), angles, order="bshd", **how)

    return rotate


def main(host):
    if host == "native":
        say(problem(native()))
        return
    if host == "mps":
        from proofs import msl
        from proofs.gpu import run_shared

        _, kernel = run_shared.prepared("mps", msl.COMPILERS[0], lambda text: text)
    else:
        from proofs.gpu import run_triton

        run_triton.prepare(host)
        from tightrope.backends.torch.kernels import triton_launch as kernel
    say(problem(kernel.rotate))


if __name__ == "__main__":
    main(*sys.argv[1:])
