"""When PyTorch reaches the C kernel: directly where nobody watches, as operators in graphs, not at all otherwise."""

import numpy as np
import pytest

import tightrope
from tightrope.rope import reference
from tightrope.rope.scaling.default import Default

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.backend("torch")

ROPE = tightrope.RopeConfig(head_dim=32, rotary_dim=24, base=1e4, layout="half", scaling=Default())


@pytest.fixture
def launches(native, monkeypatch):
    """Count the direct calls and the operators' calls of the kernel."""
    seen = []
    rotate_parts = native.CpuKernel.rotate_parts

    def counted(self, *arguments, **how):
        seen.append(how)
        return rotate_parts(self, *arguments, **how)

    monkeypatch.setattr(native.CpuKernel, "rotate_parts", counted)
    return seen


@pytest.fixture
def rotary(native):
    from tightrope.backends.torch import RotaryEmbedding

    return RotaryEmbedding(ROPE)


def q_and_k(dtype=torch.float32, seq=5):
    generator = torch.Generator().manual_seed(3)
    return tuple(torch.randn(2, heads, seq, 32, generator=generator).to(dtype) for heads in (4, 2))


def wanted(x, transpose=False):
    positions = np.arange(x.shape[2])[None]
    cos, sin = (part[:, None] for part in reference.cos_sin_bits(ROPE, positions))
    how = {"layout": "half", "transpose": transpose, "dtype": str(x.dtype).removeprefix("torch.")}
    bits = reference.rotate_bits(x.detach().float().numpy(), cos, sin, **how)
    return torch.from_numpy(bits).to(x.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_one_launch_rotates_q_and_k_by_their_phases(rotary, launches, dtype):
    q, k = q_and_k(dtype)
    results = rotary(q, k, offset=0)
    assert all(torch.equal(result, wanted(x)) for result, x in zip(results, (q, k), strict=True))
    assert len(launches) == 1


def test_q_and_k_of_different_dtypes_keep_theirs(rotary, launches):
    q, k = q_and_k()
    k = k.to(torch.float16)
    results = rotary(q, k, offset=0)
    assert all(torch.equal(result, wanted(x)) for result, x in zip(results, (q, k), strict=True))
    assert len(launches) == 1


def test_gradients_are_the_transposed_rotation_by_the_kernel(rotary, launches):
    q, k = (x.requires_grad_() for x in q_and_k())
    results = rotary(q, k, offset=0)
    gradients = torch.autograd.grad(results, (q, k), (q.detach(), k.detach()))
    assert all(torch.equal(g, wanted(x, transpose=True)) for g, x in zip(gradients, (q, k), strict=True))
    assert [how["transpose"] for how in launches] == [False, True]


def test_float64_goes_by_framework_operations(rotary, launches):
    q, _ = q_and_k(torch.float64)
    rotary(q, offset=0)
    assert not launches


class Tagged(torch.Tensor):
    """A subclass, which may mean anything by its memory."""


@pytest.mark.parametrize("watcher", ["subclass", "function transform", "dispatch mode", "forward mode"])
def test_who_watches_sees_framework_operations(rotary, launches, watcher):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watcher(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), kwargs=None):
            return function(*arguments, **(kwargs or {}))

    q, _ = q_and_k()
    angles = rotary.angles(offset=0, length=5)
    if watcher == "subclass":
        result = rotary(q.as_subclass(Tagged), angles=angles)
    elif watcher == "function transform":
        result = torch.func.vmap(lambda one: rotary(one[None], angles=angles)[0])(q)
    elif watcher == "dispatch mode":
        with Watcher():
            result = rotary(q, angles=angles)
    else:
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(q, q)
            result, tangent = torch.autograd.forward_ad.unpack_dual(rotary(dual, angles=angles))
            assert torch.allclose(tangent, wanted(q), atol=TOLERANCE)
    assert not launches
    assert torch.allclose(result.as_subclass(torch.Tensor), wanted(q), atol=TOLERANCE)


# Framework operations may round each of two products and a sum once more than fused ones: 3 units of 2⁻²⁴ of |x| < 6.
TOLERANCE = 3 * 2.0**-24 * 6 * 2


@pytest.mark.parametrize("tracer", ["compile", "export"])
def test_graphs_hold_the_operators_and_give_the_same_bits(rotary, tracer):
    q, k = q_and_k()
    positions = torch.arange(5)[None]

    class Layer(torch.nn.Module):
        def forward(self, q, k, positions):
            return rotary(q, k, positions=positions)

    if tracer == "compile":
        graph = torch.compile(Layer(), fullgraph=True, backend="aot_eager")
    else:
        exported = torch.export.export(Layer(), (q, k, positions))
        graph = exported.module()
        called = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
        assert {"tightrope.rotate.default", "tightrope.cos_sin.default"} <= called
    results = graph(q, k, positions)
    assert all(torch.equal(result, wanted(x)) for result, x in zip(results, (q, k), strict=True))


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # opcheck of torch 2.14 reads it
def test_operators_keep_what_they_promise(native):
    from tightrope.backends.torch import custom_ops as operators

    q, _ = q_and_k()
    cos, sin = torch.rand(2, 2, 5, 12)
    turns, attention_factors = torch.randint(0, 2**60, (1, 12)), torch.ones(1)
    for x in (q, q.clone().requires_grad_(), q.transpose(1, 2).contiguous().transpose(1, 2)):
        torch.library.opcheck(operators.rotate, (x, cos, sin, "half", "head", "bhsd", False))
    torch.library.opcheck(operators.cos_sin, (torch.arange(5).reshape(1, 1, 5), turns, attention_factors, None, None))


@pytest.mark.parametrize("transpose", [False, True])
def test_the_operators_gradient_rotates_the_other_way(native, transpose):
    from tightrope.backends.torch import custom_ops as operators

    q, given = q_and_k()[0].requires_grad_(), q_and_k()[0].flip(2)
    angles = torch.rand(1, 5, 12)
    how = (angles.cos(), angles.sin(), "half", "head", "bhsd")
    (gradient,) = torch.autograd.grad(operators.rotate(q, *how, transpose), q, given)
    assert torch.equal(gradient, operators.rotate(given, *how, not transpose))


def test_the_operator_refuses_a_gradient_that_it_would_lose(native):
    from tightrope.backends.torch import custom_ops as operators

    q, _ = q_and_k()
    cos, sin = torch.rand(2, 1, 5, 12)
    with pytest.raises(tightrope.RopeConfigError, match="no gradient for cos and sin"):
        operators.rotate(q, cos.requires_grad_(), sin, "half", "head", "bhsd", False)


@pytest.fixture(params=["positions", "angles", "cos and sin"])
def where(request, rotary):
    """What a call is told about the first five tokens."""
    if request.param == "positions":
        return {"offset": 0}
    return {
        "angles": rotary.angles(offset=0, length=5) if request.param == "angles" else rotary.cos_sin(torch.arange(5))
    }


def test_in_place_rotates_what_lies_there(rotary, launches, where):
    q, k = q_and_k()
    expected, addresses = (wanted(q), wanted(k)), (q.data_ptr(), k.data_ptr())
    results = rotary.rotate_(q, k, **where)
    assert results[0] is q
    assert results[1] is k
    assert (q.data_ptr(), k.data_ptr()) == addresses
    assert torch.equal(q, expected[0])
    assert torch.equal(k, expected[1])
    assert len(launches) == 1


def test_in_place_autograd_notices_that_a_saved_tensor_changed(rotary, where):
    weight = torch.ones(32, requires_grad=True)
    q, _ = q_and_k()
    product = (q * weight).sum()  # keeps q for the gradient
    with torch.no_grad():
        rotary.rotate_(q, **where)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_in_place_a_leaf_that_wants_a_gradient_is_refused(rotary, where):
    q = q_and_k()[0].requires_grad_()
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        rotary.rotate_(q, **where)


@pytest.mark.parametrize("overlapping", ["expanded", "windows"])
def test_in_place_shared_memory_is_refused(rotary, overlapping, where):
    q, k = q_and_k()
    shared = {
        "expanded": k[:, :1].expand(-1, 4, -1, -1),
        "windows": torch.zeros(4096).as_strided((2, 4, 5, 32), (1024, 160, 16, 1)),
    }[overlapping]
    before = q.clone()
    with pytest.raises(tightrope.RopeConfigError, match="k cannot be rotated in place: its elements share memory"):
        rotary.rotate_(q, shared, **where)
    assert torch.equal(q, before), "q must not have been rotated before the error"


@pytest.mark.parametrize(
    "strided",
    [
        lambda x: x.transpose(1, 2),
        lambda x: x[:, ::2],
        lambda x: x[..., :24],
        lambda x: x.permute(3, 0, 2, 1),
        lambda x: x.as_strided((2, 1, 5, 32), (640, 0, 32, 1)),
    ],
    ids=["transposed", "every other head", "part of the width", "channels first", "one head without a step"],
)
def test_strides_that_share_nothing_are_not_mistaken_for_overlap(native, strided):
    assert not native.overlaps(strided(q_and_k()[0]))


def test_it_serves_under_inference_mode(rotary, launches):
    with torch.inference_mode():
        q, k = q_and_k()
        rotary.rotate_(q, k, offset=0)
        rotary(q, k, offset=0)
    assert len(launches) == 2
