"""The C kernel gives the bits of the definition, in every instruction set that runs here."""

import numpy as np
import pytest

from proofs.cases import CASES, Case
from proofs.cpu import native_cases
from proofs.cpu.native_cases import MORE
from tightrope.rope import reference

pytestmark = pytest.mark.backend("torch")


@pytest.mark.parametrize("case", [*CASES.values(), *MORE], ids=str)
def test_rotation_gives_the_bits_of_the_definition(kernel, case):
    assert native_cases.problem(kernel, case) is None


@pytest.mark.parametrize("case", [*MORE[:3], Case(source="table", dtype="float16", strides="mixed")], ids=str)
def test_tensors_that_do_not_describe_themselves_are_told(kernel, case, monkeypatch):
    from proofs.tensors import Call
    from tightrope.backends.torch.kernels import cpu as native

    monkeypatch.setattr(native, "_DESCRIBED", False)
    assert native_cases.problem(kernel, case) is None
    if case.source == "phase":
        assert np.array_equal(kernel.cos_sin(Call(case).angles).cos.numpy(), Call(case).given.cos)


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("strides", ["bhsd", "bshd"])
def test_threads_share_the_work(kernel, threads, strides, monkeypatch):
    import torch

    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    # Large enough for several threads: 35 heads of 64 pairs are 18 kB a token.
    size = {"q_heads": 32, "k_heads": 3, "q_width": 128, "k_width": 128, "pairs": 64}
    assert native_cases.problem(kernel, Case(strides=strides, batch=3, seq=45, tables=3, **size)) is None
    # One row with given angles in order bhsd: by heads, of which k has fewer than there may be threads.
    assert native_cases.problem(kernel, Case(strides=strides, source="table", batch=1, seq=135, **size)) is None


@pytest.mark.parametrize("order", ["bhsd", "bshd", "thd"])
def test_axes_may_come_in_any_order(kernel, order):
    import torch

    from tightrope.backends.shared.angles import Table

    rng = np.random.default_rng(1)
    batch = 1 if order == "thd" else 2
    x = rng.standard_normal((batch, 5, 3, 16)).astype(np.float32)
    cos, sin = rng.standard_normal((2, batch, 5, 8)).astype(np.float32)
    permute = {"bhsd": lambda a: a.transpose(0, 2, 1, 3), "bshd": lambda a: a, "thd": lambda a: a[0]}[order]
    given = torch.from_numpy(np.ascontiguousarray(permute(x)))
    out = torch.empty_like(given)
    table = Table(cos=torch.from_numpy(cos), sin=torch.from_numpy(sin))
    kernel.rotate((given,), (out,), table, layout="half", side="head", order=order, transpose=False)
    wanted = reference.rotate_bits(x, cos[:, :, None], sin[:, :, None], layout="half")
    assert np.array_equal(out.numpy(), permute(wanted))


@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rounding_is_to_nearest_even_everywhere(kernel, dtype, layout):
    assert native_cases.rounding_problem(kernel, dtype, layout) is None


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_a_subnormal_of_one_head_is_kept_beside_large_ones(kernel, layout):
    assert native_cases.flushing_problem(kernel, layout) is None


@pytest.mark.parametrize("case", [c for c in [*CASES.values(), *MORE] if c.source == "phase"], ids=str)
def test_tables_give_the_bits_of_the_definition(kernel, case):
    from proofs.tensors import Call

    call = Call(case)
    table = kernel.cos_sin(call.angles)
    assert np.array_equal(table.cos.numpy(), call.given.cos)
    assert np.array_equal(table.sin.numpy(), call.given.sin)


def test_cos_and_sin_may_lie_differently(kernel):
    assert native_cases.apart_tables_problem(kernel) is None


def test_a_row_of_positions_serves_a_batch(kernel):
    import torch

    from proofs.tensors import Call

    call = Call(Case(batch=1, seq=9))
    x = torch.randn(3, 9, 2, 64)
    out, alone = torch.empty_like(x), torch.empty_like(x)
    how = {"layout": "half", "side": "head", "order": "bshd", "transpose": False}
    kernel.rotate((x,), (out,), call.angles, **how)
    for row in range(3):
        kernel.rotate((x[row : row + 1],), (alone[row : row + 1],), call.angles, **how)
    assert torch.equal(out, alone)


def test_angles_that_do_not_fit_are_refused(kernel):
    import torch

    from tightrope.backends.shared.angles import Table

    x = torch.zeros(1, 2, 5, 16)
    table = Table(cos=torch.zeros(1, 4, 8), sin=torch.zeros(1, 4, 8))
    with pytest.raises(ValueError, match="do not fit"):
        kernel.rotate((x,), (x,), table, layout="half", side="head", order="bhsd", transpose=False)
