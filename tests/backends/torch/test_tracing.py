"""PyTorch's compilers and function transforms: whole graphs, no recompilation as lengths grow, the same results."""

import pytest

import tolerances
from draws import EVERY_PATH, rope
from tightrope import MRope, RopeConfigError
from tolerances import apart, pair_norms

torch = pytest.importorskip("torch")
from torch._dynamo.testing import CompileCounterWithBackend  # noqa: E402  # needs torch

pytestmark = pytest.mark.parametrize("backend", EVERY_PATH.args[1][:2], indirect=True)

LONGROPE = {
    "rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0, 3.0, 5.0, 8.0], "factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0}
CONFIGS = {
    "static": rope(),
    "partial": rope(head_dim=12, layout="interleaved", side="tail"),
    "longrope": rope().replace(scaling=LONGROPE),
    "mrope": rope(mrope=MRope(sections=(2, 1, 1))),
}


_DTYPES = (torch.bfloat16, torch.bfloat16, torch.int64)


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()


def tensors(config, seq):
    generator = torch.Generator().manual_seed(seq)
    shapes = (2, 3, seq, config.head_dim), (2, 1, seq, config.head_dim)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def close(config, got, expected, x):
    norms = pair_norms(x.detach().numpy(), config)
    return apart(got.detach().numpy(), expected.detach().numpy(), norms) <= tolerances.two_rotations()


def positions(seq):
    return {"positions": torch.arange(100, 100 + seq).expand(2, seq)}


def offsets(seq):
    return {"offset": torch.tensor([seq, -3])}


def axes(seq):
    return {"positions": torch.arange(6 * seq).reshape(3, 2, seq)}


@pytest.mark.parametrize(
    ("name", "said", "precision"),
    [
        ("static", positions, "exact"),
        ("static", positions, "float32"),
        ("partial", offsets, "exact"),
        ("longrope", positions, "exact"),
        ("longrope", offsets, "float32"),
        ("mrope", axes, "exact"),
        ("mrope", offsets, "exact"),
    ],
)
def test_compiled_whole_it_gives_the_same_and_new_lengths_compile_nothing(backend, name, said, precision):
    config = CONFIGS[name]
    rotary = backend.RotaryEmbedding(config, precision=precision)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(rotary, backend=counter, fullgraph=True)
    for seq in (4, 6, 13, 40):
        xs = tensors(config, seq)
        for got, expected, x in zip(compiled(*xs, **said(seq)), rotary(*xs, **said(seq)), xs, strict=True):
            assert close(config, got, expected, x)
    assert counter.frame_count <= 2  # the first length, then all others


class ByPosition(torch.nn.Module):
    """A call that can be exported."""

    def __init__(self, rotary):
        super().__init__()
        self.rotary = rotary

    def forward(self, x, y, at):
        return self.rotary(x, y, positions=at)


@pytest.mark.parametrize("precision", ["exact", "float32"])
@pytest.mark.parametrize("name", CONFIGS)
def test_for_a_gpu_a_graph_holds_only_what_a_compiler_can_fuse(backend, name, precision):
    """The device meta stands for a GPU: no graph holds a kernel there, and no value is needed to make one."""
    config = CONFIGS[name]
    at = (axes if name == "mrope" else positions)(5)["positions"]
    given = [x.to("meta", dtype) for x, dtype in zip((*tensors(config, 5), at), _DTYPES, strict=True)]
    module = ByPosition(backend.RotaryEmbedding(config, precision=precision))
    nodes = torch.export.export(module, tuple(given)).graph.nodes
    called = [node for node in nodes if node.op == "call_function"]
    assert {str(node.target).split(".")[0] for node in called} == {"aten"}
    values = [node.meta["val"] for node in called if isinstance(node.meta.get("val"), torch.Tensor)]
    assert values
    assert torch.float64 not in {value.dtype for value in values}  # which MPS does not have


def test_compiled_by_inductor_it_gives_the_same(backend):
    config = CONFIGS["longrope"]
    rotary = backend.RotaryEmbedding(config)
    compiled = torch.compile(rotary, fullgraph=True, dynamic=True)
    for seq in (4, 30):
        xs = tensors(config, seq)
        for got, expected, x in zip(compiled(*xs, **offsets(seq)), rotary(*xs, **offsets(seq)), xs, strict=True):
            assert close(config, got, expected, x)


def test_compiled_gradients_are_the_same(backend):
    rotary = backend.RotaryEmbedding(CONFIGS["static"])
    compiled = torch.compile(rotary, backend="aot_eager", fullgraph=True)
    x, y = (t.requires_grad_() for t in tensors(CONFIGS["static"], 5))
    results = []
    for function in (compiled, rotary):
        rotated_x, rotated_y = function(x, y, **offsets(5))
        results.append(torch.autograd.grad((rotated_x.pow(2).sum() + rotated_y.sin().sum()), (x, y)))
    for got, expected in zip(*results, strict=True):
        assert torch.allclose(got, expected, rtol=0, atol=16 * torch.finfo(torch.float32).eps * x.detach().abs().max())


def test_compiled_in_place_it_gives_the_same(backend):
    rotary = backend.RotaryEmbedding(CONFIGS["static"])
    compiled = torch.compile(rotary.rotate_, backend="aot_eager", fullgraph=True)
    (x, _), (copy, _) = tensors(CONFIGS["static"], 5), tensors(CONFIGS["static"], 5)
    compiled(copy, offset=torch.tensor(3))
    assert close(CONFIGS["static"], copy, rotary(x, offset=torch.tensor(3)), x)


@pytest.mark.parametrize("name", ["static", "longrope", "dynamic"])
def test_angles_from_outside_compile_once(backend, name):
    config = rope(max_position_embeddings=16).replace(scaling=DYNAMIC) if name == "dynamic" else CONFIGS[name]
    rotary = backend.RotaryEmbedding(config)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda x, angles: rotary(x, angles=angles), backend=counter, fullgraph=True)
    x, _ = tensors(config, 1)
    for length in (5, 16, 17, 30, 500):
        angles = rotary.angles(offset=length - 1, length=1)
        assert close(config, compiled(x, angles), rotary(x, angles=angles), x)
    assert counter.frame_count == 1


@pytest.mark.parametrize("name", ["longrope", "dynamic"])
def test_a_growing_length_compiles_nothing(backend, name):
    config = rope(max_position_embeddings=16).replace(scaling=DYNAMIC) if name == "dynamic" else CONFIGS[name]
    rotary = backend.RotaryEmbedding(config)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(rotary, backend=counter, fullgraph=True)
    x, _ = tensors(config, 4)
    for length in (10, 15, 16, 17, 18, 40, 5000):
        said = {"offset": torch.tensor(length - 4), "seq_len": length}
        assert close(config, compiled(x, **said), rotary(x, **said), x)
    assert counter.frame_count <= 2  # the first length, then all others


def test_a_graph_takes_a_length_for_each_row(backend):
    config = rope(max_position_embeddings=16).replace(scaling=DYNAMIC)
    rotary = backend.RotaryEmbedding(config)
    compiled = torch.compile(rotary, backend="aot_eager", fullgraph=True)
    x, _ = tensors(config, 4)
    said = {"offset": torch.tensor([3, 50]), "seq_len": [7, 54]}
    assert close(config, compiled(x, **said), rotary(x, **said), x)


def test_a_graph_keeps_no_history_and_says_so(backend):
    rotary = backend.RotaryEmbedding(rope(max_position_embeddings=16).replace(scaling=DYNAMIC), policy="transformers")
    compiled = torch.compile(rotary, backend="aot_eager", fullgraph=True)
    x, _ = tensors(rope(), 4)
    with pytest.raises(
        (RopeConfigError, torch._dynamo.exc.InternalTorchDynamoError), match="policy 'transformers' keeps"
    ):
        compiled(x, offset=torch.tensor(3), seq_len=20)


def test_the_operator_for_growing_lengths_is_well_formed(backend):
    from tightrope.backends.torch.custom_ops import tables

    rotary = backend.RotaryEmbedding(rope().replace(scaling=DYNAMIC))
    name = rotary._ropes["default"]._tables._named.name
    torch.library.opcheck(tables, (torch.empty(0), name, [5, 9000], 4, True))


def test_keys_move_in_a_graph(backend):
    rotary = backend.RotaryEmbedding(CONFIGS["longrope"])
    compiled = torch.compile(lambda k, by: rotary.shift(k, by, seq_len=20), backend="aot_eager", fullgraph=True)
    (x, _), (copy, _) = tensors(CONFIGS["longrope"], 4), tensors(CONFIGS["longrope"], 4)
    by = torch.tensor([3, -5])
    assert close(CONFIGS["longrope"], compiled(copy, by), rotary.shift(x.clone(), by, seq_len=20), x)


def test_a_graph_cannot_read_lengths_and_says_so(backend):
    rotary = backend.RotaryEmbedding(rope().replace(scaling=DYNAMIC))
    compiled = torch.compile(rotary, backend="aot_eager", fullgraph=True)
    x, _ = tensors(rope(), 4)
    with pytest.raises((RopeConfigError, torch._dynamo.exc.InternalTorchDynamoError), match="give seq_len, or compute"):
        compiled(x, offset=torch.tensor(3))


def test_exported_with_a_free_length_it_gives_the_same(backend):
    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rotary = backend.RotaryEmbedding(CONFIGS["longrope"])

        def forward(self, q, k, positions):
            return self.rotary(q, k, positions=positions)

    seq = torch.export.Dim("seq", min=2, max=64)
    attention = Attention()
    given = (*tensors(CONFIGS["longrope"], 5), *positions(5).values())
    exported = torch.export.export(attention, given, dynamic_shapes=({2: seq}, {2: seq}, {1: seq}))
    assert not exported.state_dict
    given = (*tensors(CONFIGS["longrope"], 9), *positions(9).values())
    for got, expected, x in zip(exported.module()(*given), attention(*given), given, strict=False):
        assert close(CONFIGS["longrope"], got, expected, x)


def test_vmap_over_q_and_over_offsets(backend):
    rotary = backend.RotaryEmbedding(CONFIGS["longrope"])
    x = torch.stack([tensors(CONFIGS["longrope"], 4)[0] * i for i in (1, 2, 3)])
    offset = torch.tensor([[1, 2], [20, 3], [-4, 30]])
    expected = torch.stack([rotary(one, offset=by) for one, by in zip(x, offset, strict=True)])
    got = torch.func.vmap(lambda one, by: rotary(one, offset=by))(x, offset)
    assert close(CONFIGS["longrope"], got, expected, x)


def test_forward_and_reverse_derivatives_agree(backend):
    rotary = backend.RotaryEmbedding(CONFIGS["partial"])
    x, _ = tensors(CONFIGS["partial"], 1)
    x = x[:1, :1]
    forward = torch.func.jacfwd(lambda t: rotary(t, offset=3))(x)
    reverse = torch.func.jacrev(lambda t: rotary(t, offset=3))(x)
    assert torch.equal(forward, reverse)
    with torch.autograd.forward_ad.dual_level():
        dual = rotary(torch.autograd.forward_ad.make_dual(x, x), offset=3)
        assert close(CONFIGS["partial"], torch.autograd.forward_ad.unpack_dual(dual).tangent, rotary(x, offset=3), x)


def test_batched_gradients(backend):
    rotary = backend.RotaryEmbedding(CONFIGS["static"])
    x = tensors(CONFIGS["static"], 4)[0].requires_grad_()
    cotangents = torch.randn(3, *x.shape, generator=torch.Generator().manual_seed(1))
    (got,) = torch.autograd.grad(rotary(x, offset=3), x, cotangents, is_grads_batched=True)
    expected = torch.stack([torch.autograd.grad(rotary(x, offset=3), x, cotangent)[0] for cotangent in cotangents])
    assert close(CONFIGS["static"], got, expected, cotangents)
