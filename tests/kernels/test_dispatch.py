"""Which kernel PyTorch reaches, in what shape, and that derivatives and compilers get past it.

There is no GPU here: the Metal shader runs on CPU tensors through a C++ compiler.
"""

from types import SimpleNamespace

import numpy as np
import pytest

import tightrope
from proofs import msl
from proofs.one_rope import CONFIG, HEADS, POSITIONS, K, Q, expected
from tightrope.rope.reference import cos_sin_bits, rotate_bits


@pytest.fixture
def torch_gpu(monkeypatch):
    """PyTorch, whose CPU tensors are taken for those of an Apple GPU; counts the launches."""
    if not msl.COMPILERS:
        pytest.skip(msl.NO_COMPILER)
    torch = pytest.importorskip("torch")
    from proofs.gpu.metal_hosts import Shaders
    from tightrope.backends.torch.kernels import cpu as native
    from tightrope.backends.torch.kernels import gpu, mps

    launches = []

    def counted(launch):
        return lambda *arguments, **options: (launches.append(launch.__name__), launch(*arguments, **options))[1]

    mps._shader.cache_clear()
    monkeypatch.setattr(torch.mps, "compile_shader", Shaders(msl.COMPILERS[0], lambda text: text))
    monkeypatch.setattr(native, "kernel", None)
    module = SimpleNamespace(rotate=counted(mps.rotate), cos_sin=counted(mps.cos_sin))
    monkeypatch.setattr(gpu, "find_kernel", lambda device_type: gpu.GpuKernel("Metal", module))
    return SimpleNamespace(torch=torch, rope=tightrope.load_backend("torch").RotaryEmbedding(CONFIG), launches=launches)


ORDERS = {"bhsd": (0, 1, 2, 3), "bshd": (0, 2, 1, 3)}


@pytest.mark.backend("torch")
@pytest.mark.parametrize("order", ORDERS)
def test_torch_rotates_q_and_k_in_one_launch(torch_gpu, order):
    torch, axes = torch_gpu.torch, ORDERS[order]
    q, k = (torch.tensor(x.transpose(axes), dtype=torch.float32) for x in (Q, K))
    rotated = torch_gpu.rope(q, k, positions=torch.tensor(POSITIONS), order=order)
    assert torch_gpu.launches == ["rotate"]
    for here, x in zip(rotated, (Q, K), strict=True):
        np.testing.assert_array_equal(here.numpy(), expected(x).transpose(axes))


@pytest.mark.backend("torch")
def test_torch_rotates_packed_tokens(torch_gpu):
    torch = torch_gpu.torch
    q = torch.tensor(np.concatenate(list(Q.transpose(0, 2, 1, 3))), dtype=torch.float32)
    rotated = torch_gpu.rope(q, positions=torch.tensor(POSITIONS.reshape(-1)), order="thd")
    np.testing.assert_array_equal(rotated.numpy(), np.concatenate(list(expected(Q).transpose(0, 2, 1, 3))))


@pytest.mark.backend("torch")
def test_torch_rotates_in_place_and_nothing_beside(torch_gpu):
    torch = torch_gpu.torch
    whole = torch.tensor(np.concatenate([Q, Q], axis=1), dtype=torch.float32)
    with torch.no_grad():
        torch_gpu.rope.rotate_(whole[:, :HEADS], positions=torch.tensor(POSITIONS))
    np.testing.assert_array_equal(whole.numpy(), np.concatenate([expected(Q), Q.astype(np.float32)], axis=1))


@pytest.mark.backend("torch")
def test_torch_rotates_q_and_k_of_two_dtypes_in_two_launches(torch_gpu):
    torch = torch_gpu.torch
    q, k = torch.tensor(Q, dtype=torch.float32), torch.tensor(K, dtype=torch.bfloat16)
    rotated = torch_gpu.rope(q, k, positions=torch.tensor(POSITIONS))
    assert torch_gpu.launches == ["rotate", "rotate"]
    assert [x.dtype for x in rotated] == [torch.float32, torch.bfloat16]


@pytest.mark.backend("torch")
@pytest.mark.parametrize("rows", [1, 3])
def test_torch_refuses_a_k_that_has_more_or_fewer_rows_than_q(torch_gpu, rows):
    torch = torch_gpu.torch
    q, k = torch.tensor(Q, dtype=torch.float32), torch.tensor(np.tile(K[:1], (rows, 1, 1, 1)), dtype=torch.float32)
    with pytest.raises(tightrope.RopeConfigError, match=f"q and k must have one batch, got 2 and {rows}"):
        torch_gpu.rope(q, k, positions=torch.tensor(POSITIONS[:1]))
    assert torch_gpu.launches == []


@pytest.mark.backend("torch")
def test_torch_differentiates_by_the_transposed_rotation(torch_gpu):
    torch = torch_gpu.torch
    q = torch.tensor(Q, dtype=torch.float32, requires_grad=True)
    rotated = torch_gpu.rope(q, positions=torch.tensor(POSITIONS))
    rotated.backward(torch.tensor(expected(Q)))
    cos, sin = (part[:, None] for part in cos_sin_bits(CONFIG, POSITIONS))
    back = rotate_bits(expected(Q), cos, sin, layout=CONFIG.layout, side=CONFIG.side, transpose=True)
    np.testing.assert_array_equal(q.grad.numpy(), back)
    assert torch_gpu.launches == ["cos_sin", "rotate", "rotate"]


@pytest.mark.backend("torch")
def test_torch_takes_angles_of_one_step_for_every_layer(torch_gpu):
    torch = torch_gpu.torch
    angles = torch_gpu.rope.angles(torch.tensor(POSITIONS))
    for _ in range(2):
        rotated = torch_gpu.rope(torch.tensor(Q, dtype=torch.float32), angles=angles)
        np.testing.assert_array_equal(rotated.numpy(), expected(Q))
    assert torch_gpu.launches == ["cos_sin", "rotate", "rotate"]


@pytest.mark.backend("torch")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_torch_leaves_what_no_kernel_computes_to_framework_operations(torch_gpu, dtype):
    torch = torch_gpu.torch
    q = torch.tensor(Q, dtype=getattr(torch, dtype))
    with torch.no_grad():
        torch_gpu.rope(q, positions=torch.tensor(POSITIONS))
    assert ("rotate" in torch_gpu.launches) == (dtype == "float32")


@pytest.mark.backend("torch")
@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_torch_gives_fake_tensors_of_a_gpu_their_shapes(device):
    torch = pytest.importorskip("torch")
    from torch._subclasses.fake_tensor import FakeTensorMode

    rope = tightrope.load_backend("torch").RotaryEmbedding(CONFIG)
    with FakeTensorMode():
        q = torch.empty(2, 3, 5, 16, device=device, dtype=torch.bfloat16)
        rotated = rope(q, positions=torch.zeros(2, 5, dtype=torch.int64, device=device))
    assert (rotated.device.type, rotated.shape, rotated.dtype) == (device, q.shape, q.dtype)


@pytest.fixture
def chosen():
    """Which kernel PyTorch chooses for a type of device, asked anew."""
    pytest.importorskip("torch")
    from tightrope.backends.torch.kernels import gpu

    gpu.find_kernel.cache_clear()
    yield gpu
    gpu.find_kernel.cache_clear()


@pytest.mark.backend("torch")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_without_triton_framework_operations_rotate_on_cuda(chosen, monkeypatch, device):
    monkeypatch.setattr(chosen, "find_spec", lambda name: None)
    assert chosen.find_kernel("cuda") is None
    assert chosen.path(device) == "framework operations"


@pytest.mark.backend("torch")
@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_the_variable_turns_the_kernels_for_gpus_off(chosen, monkeypatch, device):
    monkeypatch.setenv("TIGHTROPE_GPU_KERNEL", "none")
    assert chosen.path(device) == "framework operations"


@pytest.mark.backend("torch")
@pytest.mark.parametrize(("device", "language"), [("mps", "Metal"), ("xpu", "framework operations")])
def test_each_type_of_device_has_its_kernel_or_none(chosen, device, language):
    assert chosen.path(device) == language
