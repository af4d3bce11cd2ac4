"""Prefills of a million tokens: grids within the limits of each host, and memory that 32 bits cannot count."""

from types import SimpleNamespace

import pytest

from proofs import msl, tools
from tightrope.backends.shared.angles import Phase

TOKENS, HEADS, KEY_HEADS, WIDTH = 1 << 20, 32, 8, 128
PAIRS = WIDTH // 2
# CUDA's limits for the blocks of a grid; Metal counts its threads in 32 bits.
BLOCKS = {"x": 2**31 - 1, "y": 65_535}
THREADS = 2**32
HOW = {"layout": "half", "side": "head", "transpose": False}


def q_k_and_angles(torch):
    """A million tokens that take no memory: every token is the same one."""
    one = torch.zeros(1, 1, HEADS, WIDTH)
    q, k = one.expand(1, TOKENS, HEADS, WIDTH), one[:, :, :KEY_HEADS].expand(1, TOKENS, KEY_HEADS, WIDTH)
    positions = torch.zeros(1, 1, 1, dtype=torch.int64).expand(1, 1, TOKENS)
    turns, attention_factors = torch.zeros(1, PAIRS, dtype=torch.int64), torch.ones(1)
    return q, k, Phase(positions=positions, turns=turns, attention_factors=attention_factors)


class Grids(list):
    """A Triton kernel that is never run."""

    def __getitem__(self, grid):
        return lambda *arguments, **options: self.append(grid)


@pytest.mark.backend("torch")
@tools.module("triton")
@pytest.mark.parametrize("name", ["rotate_qk", "cos_sin"])
def test_triton_counts_tokens_in_x(name, monkeypatch):
    import torch

    from tightrope.backends.torch.kernels import triton_launch as triton

    launched = Grids()
    monkeypatch.setattr(triton.triton_kernel, name, launched)
    q, k, phase = q_k_and_angles(torch)
    if name == "rotate_qk":
        triton.rotate(q, k, q, k, phase, **HOW)
    else:
        triton.cos_sin(phase, *[torch.zeros(1, 1, PAIRS).expand(1, TOKENS, PAIRS)] * 2)
    ((x, *rest),) = launched
    assert x == TOKENS <= BLOCKS["x"]
    assert all(extent <= BLOCKS["y"] for extent in rest)


@pytest.mark.backend("torch")
def test_metal_of_pytorch_counts_its_threads_in_32_bits(monkeypatch):
    import torch

    from tightrope.backends.torch.kernels import mps

    launched = []
    monkeypatch.setattr(mps, "_launch", lambda kernel, tensors, threads: launched.append(threads))
    q, k, phase = q_k_and_angles(torch)
    mps.rotate(q, k, q, k, phase, **HOW)
    mps.cos_sin(phase, *[torch.zeros(1, 1, PAIRS).expand(1, TOKENS, PAIRS)] * 2)
    assert [threads[0] for threads in launched] == [TOKENS * PAIRS] * 2
    assert all(0 < extent < THREADS for threads in launched for extent in threads)


@pytest.mark.backend("mlx")
def test_mlx_stays_within_the_grids_of_cuda_and_metal(monkeypatch):
    import mlx.core as mx

    from tightrope.backends.mlx.kernels import launch as kernel

    grids, group = [], kernel._THREADS_PER_GROUP
    launch = SimpleNamespace(compiled=lambda **call: grids.append(call["grid"]))
    monkeypatch.setattr(kernel, "_compiled", lambda *description: launch.compiled)
    arrays = {"positions": mx.broadcast_to(mx.zeros((1, 1, 1), mx.int64), (1, 1, TOKENS)),
              "turns": mx.zeros((1, PAIRS), mx.int64), "attention_factors": mx.ones(1)}  # fmt: skip
    heads = [mx.broadcast_to(mx.zeros((1, 1, 1, 1)), (1, TOKENS, n, WIDTH)) for n in (HEADS, KEY_HEADS)]
    kernel.launch(kernel.Launch(heads=2, angles=tuple(arrays), seq_axis=1, **HOW), [*heads, *arrays.values()])
    kernel.launch_angles(tuple(arrays), list(arrays.values()))
    assert [grid[0] for grid in grids] == [TOKENS * PAIRS] * 2
    assert all(grid[0] < THREADS and grid[0] / group <= BLOCKS["x"] and max(grid[1:]) <= BLOCKS["y"] for grid in grids)


needs = {
    "native": [],
    "mps": [pytest.mark.skipif(not msl.COMPILERS, reason=msl.NO_COMPILER)],
    "sm_90": [tools.module("triton")],
}


@pytest.mark.backend("torch")
@pytest.mark.parametrize("host", [pytest.param(host, marks=marks) for host, marks in needs.items()])
def test_rows_may_lie_further_apart_than_32_bits_count(host, tmp_path):
    from tightrope.backends.torch.kernels import cpu as native

    if host == "native" and native.kernel is None:
        pytest.skip("the C kernel was not built, or none of its instruction sets runs here")
    lines, error = tools.run_python("proofs.far", host, folder=tmp_path)
    assert (lines, error) == ([[None]], "")
