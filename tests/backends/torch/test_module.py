"""The PyTorch module: casts, checkpoints, meta and fake tensors, in place, float64."""

import io

import numpy as np
import pytest

import tolerances
from draws import EVERY_PATH, rope
from tightrope import RopeConfigError
from tightrope.rope import reference
from tolerances import apart, pair_norms

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.parametrize("backend", EVERY_PATH.args[1][:2], indirect=True),
    pytest.mark.usefixtures("backend"),
]

LONGROPE = {
    "rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0, 3.0, 5.0, 8.0], "factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip


def q(*shape, dtype=torch.float32):
    return torch.randn(shape or (2, 3, 4, 8), generator=torch.Generator().manual_seed(0)).to(dtype)


def module(backend, **changes):
    scaling = changes.pop("scaling", LONGROPE)
    return backend.RotaryEmbedding(rope(**changes).replace(scaling=scaling))


def test_nothing_is_trained_saved_or_cast(backend):
    rotary = module(backend)
    rotary(q(), offset=3)
    assert not rotary.state_dict()
    assert not list(rotary.parameters())
    assert not list(rotary.buffers())


@pytest.mark.parametrize(
    "cast",
    [
        lambda m: m.half(),
        lambda m: m.to(torch.bfloat16),
        lambda m: m.double(),
        lambda m: m.to("meta").to_empty(device="cpu"),
        lambda m: torch.nn.Sequential(m).half()[0],
        lambda m: m.share_memory(),
        lambda m: m.eval().requires_grad_(requires_grad=False),
    ],
)
def test_no_cast_of_the_model_changes_the_result(backend, cast):
    expected = module(backend)(q(), offset=13)
    used = module(backend)
    used(q(), offset=13)
    assert torch.equal(cast(used)(q(), offset=13), expected)
    assert torch.equal(cast(module(backend))(q(), offset=13), expected)


def test_a_module_made_on_the_meta_device_turns_real_tensors(backend):
    with torch.device("meta"):
        rotary = module(backend)
    assert torch.equal(rotary(q(), offset=13), module(backend)(q(), offset=13))


def test_meta_tensors_give_meta_tensors_and_leave_nothing_behind(backend):
    rotary = module(backend)
    positions = torch.zeros(2, 4, dtype=torch.int64, device="meta")
    rotated = rotary(q(dtype=torch.bfloat16).to("meta"), positions=positions)
    assert (rotated.device.type, rotated.dtype, rotated.shape) == ("meta", torch.bfloat16, (2, 3, 4, 8))
    assert torch.equal(rotary(q(), offset=13), module(backend)(q(), offset=13))


def test_fake_tensors_leave_nothing_behind(backend):
    from torch._subclasses import FakeTensorMode

    rotary = module(backend)
    for _ in range(2):
        with FakeTensorMode():
            fake = rotary(torch.empty(2, 3, 4, 8), offset=torch.zeros(2, dtype=torch.int32))
        assert fake.shape == (2, 3, 4, 8)
        assert torch.equal(rotary(q(), offset=13), module(backend)(q(), offset=13))


def test_tables_keep_their_address(backend):
    """What a CUDA graph has captured stays where it is, whatever lengths come afterwards."""
    rotary = module(backend)
    tables = rotary._ropes["default"]._tables
    rotary(q(), offset=torch.tensor([3]))
    before = [
        part.data_ptr() for part in (tables.known((16, 17), q()).turns, tables.known((16, 17), q()).attention_factors)
    ]
    for offset in (3, 13, 500, 0):
        rotary(q(), offset=torch.tensor([offset]))
        rotary.angles(offset=offset, length=4)
    assert [
        part.data_ptr() for part in (tables.known((16, 17), q()).turns, tables.known((16, 17), q()).attention_factors)
    ] == before


def test_a_module_saved_with_torch_save_turns_alike(backend):
    file = io.BytesIO()
    rotary = module(backend)
    rotary(q(), offset=13)
    torch.save(rotary, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(q(), offset=13), rotary(q(), offset=13))


def test_first_used_in_inference_mode_it_still_gives_gradients(backend):
    rotary = module(backend)
    with torch.inference_mode():
        rotary(q(), offset=13)
        rotary.angles(offset=torch.tensor([13]), length=4)
    tables = rotary._ropes["default"]._tables.known((16, 17), q())
    assert not tables.turns.is_inference()
    assert not tables.attention_factors.is_inference()
    x = q().requires_grad_()
    rotary(x, offset=13).sum().backward()
    assert x.grad is not None


def test_float64_stays_float64(backend):
    config = rope()
    x = q(dtype=torch.float64)
    rotary = backend.RotaryEmbedding(config)
    got = rotary(x, offset=1000)
    cos, sin = (part.numpy().astype(np.float64)[:, None] for part in rotary.cos_sin(torch.arange(1000, 1004)))
    expected = reference.rotate(x.numpy(), cos, sin, layout=config.layout)
    assert got.dtype == torch.float64
    # By the same cos and sin: two products and a sum in float64.
    assert apart(got.numpy(), expected, pair_norms(x.numpy(), config), "float64") <= 2


@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_in_place_gives_the_same_and_returns_what_it_was_given(backend, layout, dtype):
    rotary = backend.RotaryEmbedding(rope(layout=layout, head_dim=11, side="tail"))
    x, y = q(2, 3, 4, 11, dtype=dtype), q(2, 1, 4, 13, dtype=dtype)
    rotated = rotary(x, y, offset=7)
    x2, y2 = x.clone(), y.clone()
    result = rotary.rotate_(x2, y2, offset=7)
    assert result[0] is x2
    assert result[1] is y2
    for got, expected in zip(result, rotated, strict=True):
        norms = pair_norms(expected.double().numpy(), rotary.model.rope())
        name = str(dtype).removeprefix("torch.")
        assert apart(got.double().numpy(), expected.double().numpy(), norms, name) <= tolerances.two_rotations(
            "float32"
        )


def test_in_place_on_a_view_changes_the_view_alone(backend):
    rotary = backend.RotaryEmbedding(rope())
    whole = q(2, 3, 4, 24)
    before = whole.clone()
    rotary.rotate_(whole[..., 8:16], offset=7)
    assert torch.equal(whole[..., 8:16], rotary(before[..., 8:16], offset=7))
    assert torch.equal(whole[..., :8], before[..., :8])
    assert torch.equal(whole[..., 16:], before[..., 16:])


def test_in_place_on_memory_used_twice_is_refused(backend):
    shared = q(2, 1, 4, 8).expand(2, 3, 4, 8)
    with pytest.raises((RopeConfigError, RuntimeError), match="memory"):
        backend.RotaryEmbedding(rope()).rotate_(shared, offset=7)


def test_in_place_gradients_flow(backend):
    rotary = backend.RotaryEmbedding(rope())
    x = q().requires_grad_()
    rotary.rotate_(x * 2, offset=7).pow(2).sum().backward()
    expected = x.grad.clone()
    x.grad = None
    rotary(x * 2, offset=7).pow(2).sum().backward()
    assert torch.equal(x.grad, expected)


def test_a_leaf_that_needs_a_gradient_is_not_changed_in_place(backend):
    with pytest.raises(RuntimeError, match="leaf"):
        backend.RotaryEmbedding(rope()).rotate_(q().requires_grad_(), offset=7)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_gradcheck_to_second_order(backend, layout):
    rotary = backend.RotaryEmbedding(rope(layout=layout, head_dim=10, side="tail"))
    x = q(2, 2, 3, 10, dtype=torch.float64).requires_grad_()
    y = q(2, 1, 3, 9, dtype=torch.float64).requires_grad_()
    offset = torch.tensor([5, -3])
    assert torch.autograd.gradcheck(lambda a, b: rotary(a, b, offset=offset), (x, y))
    assert torch.autograd.gradgradcheck(lambda a, b: rotary(a, b, offset=offset), (x, y))


def test_devices_of_cuda_and_mps_are_announced_where_they_are(backend, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert backend.devices() == ("cuda:0", "cuda:1", "mps", "cpu")
    assert "float64" not in backend.dtypes("mps")
