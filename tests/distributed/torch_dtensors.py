"""DTensors of every placement, rotated in each process, against the whole tensor rotated alone."""

import json
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

import tightrope
from tightrope.backends.torch import RotaryEmbedding, rotate

torch.set_num_threads(1)
dist.init_process_group("gloo", timeout=timedelta(seconds=60))
WORLD = dist.get_world_size()
MESHES = {"1-D": init_device_mesh("cpu", (WORLD,)), "2-D": init_device_mesh("cpu", (1, WORLD))}
ROPE = RotaryEmbedding(tightrope.read({"model_type": "llama", "head_dim": 8, "rope_theta": 5e5}))
PARTIAL = RotaryEmbedding(
    tightrope.read({"model_type": "glm4", "head_dim": 8, "rope_theta": 5e5, "partial_rotary_factor": 0.5})
)
DYNAMIC = RotaryEmbedding(
    tightrope.read(
        {"model_type": "llama", "head_dim": 8, "rope_theta": 1e4, "max_position_embeddings": 8,
         "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}
    )
)  # fmt: skip
torch.manual_seed(0)
BATCH, SEQ = 3, 5  # neither divides evenly
Q, K = torch.randn(BATCH, 4, SEQ, 8).bfloat16(), torch.randn(BATCH, 2, SEQ, 8).bfloat16()
ROWS, POSITIONS = torch.arange(BATCH) * 1000 - 3, torch.randint(0, 2**40, (BATCH, SEQ))
PLACEMENTS = {"batch": Shard(0), "heads": Shard(1), "seq": Shard(2), "channels": Shard(3), "whole": Replicate()}
result = {}


def same(made, expected):
    return isinstance(made, DTensor) and torch.equal(made.full_tensor(), expected)


def record(name, check):
    try:
        result[name] = check()
    except Exception as error:
        result[name] = f"{type(error).__name__}: {error}"[:500]


def both(made, expected):
    return all(same(a, b) for a, b in zip(made, expected, strict=True))


def calls(place):
    """Yield (name, result as DTensors, expected)."""
    q, k = place(Q), place(K)
    yield "offset", lambda: both(ROPE(q, k, offset=131056), ROPE(Q, K, offset=131056))
    yield "offset by row", lambda: both(ROPE(q, k, offset=ROWS), ROPE(Q, K, offset=ROWS))
    yield "positions", lambda: both(ROPE(q, k, positions=POSITIONS), ROPE(Q, K, positions=POSITIONS))
    yield "angles", lambda: same(ROPE(q, angles=ROPE.angles(POSITIONS)), ROPE(Q, positions=POSITIONS))
    yield "in place", lambda: same(ROPE.rotate_(place(Q.clone()), offset=7), ROPE(Q, offset=7))
    yield "shift", lambda: same(ROPE.shift(place(K.clone()), 9), ROPE.shift(K.clone(), 9))
    yield "part of the width", lambda: same(PARTIAL(q, positions=POSITIONS), PARTIAL(Q, positions=POSITIONS))
    cos, sin = ROPE.cos_sin(POSITIONS)
    how = {"layout": "half", "cos": cos, "sin": sin}
    yield "cos and sin", lambda: same(rotate(q, **how), rotate(Q, **how))


def gradient(place):
    q = place(Q.float()).requires_grad_()
    weights = torch.randn(Q.shape, generator=torch.Generator().manual_seed(1))
    (ROPE(q, positions=POSITIONS) * place(weights)).sum().backward()
    alone = Q.float().requires_grad_()
    (ROPE(alone, positions=POSITIONS) * weights).sum().backward()
    return same(q.grad, alone.grad)


for mesh_name, mesh in MESHES.items():
    for name, placement in PLACEMENTS.items():
        rest = [Replicate()] * (mesh.ndim - 1)
        place = partial(distribute_tensor, device_mesh=mesh, placements=[*rest, placement])
        for call, check in calls(place):
            record(f"{mesh_name} {name}: {call}", check)
        record(f"{mesh_name} {name}: gradient", lambda place=place: gradient(place))
mesh = MESHES["1-D"]
q = distribute_tensor(Q, mesh, [Shard(2)])
expected = ROPE(Q, positions=POSITIONS)
dpos = distribute_tensor(POSITIONS, mesh, [Shard(1)])
record("positions that are a DTensor", lambda: same(ROPE(q, positions=dpos), expected))
cos, sin = (distribute_tensor(part, mesh, [Shard(1)]) for part in ROPE.cos_sin(POSITIONS))
record("cos and sin that are DTensors", lambda: same(rotate(q, cos=cos, sin=sin, layout="half"), expected))
halves = DTensor.from_local(Q.float() / WORLD, mesh, [Partial()])
record("partial sums", lambda: same(ROPE(halves, offset=3), ROPE(halves.full_tensor(), offset=3)))
record("partial sums in place", lambda: str(ROPE.rotate_(halves, offset=3)))
record("q alone is a DTensor", lambda: str(ROPE(q, K, offset=3)))
record("angles alone are DTensors", lambda: str(rotate(Q, cos=cos, sin=sin, layout="half")))
record(
    "lengths that are a DTensor",
    lambda: same(
        DYNAMIC(q, seq_len=distribute_tensor(torch.tensor([9, 50, 7]), mesh, [Shard(0)])),
        DYNAMIC(Q, seq_len=[9, 50, 7]),
    ),
)
record("placement stays", lambda: ROPE(q, offset=3).placements == (Shard(2),))
packed = distribute_tensor(Q[0].transpose(0, 1), mesh, [Shard(0)])
record("packed", lambda: same(ROPE(packed, positions=POSITIONS[0], order="thd"), expected[0].transpose(0, 1)))
two = distribute_tensor(Q, init_device_mesh("cpu", (WORLD, 1)), [Shard(2), Shard(1)])
record("two axes sharded", lambda: same(ROPE(two, positions=POSITIONS), expected))
for name, placement in PLACEMENTS.items():
    record(
        f"operator {name}",
        lambda p=placement: same(
            torch.ops.tightrope.rotate(
                distribute_tensor(Q, mesh, [p]),
                *(distribute_tensor(part, mesh, [Replicate()]) for part in ROPE.cos_sin(POSITIONS)),
                "half", "head", "bhsd", False,
            ),
            expected,
        ),
    )  # fmt: skip


def angles_operator(positions_placement, rows_placement):
    """Say whether the operator of angles, on DTensors, gives cos and sin of the whole; rows choose tables."""
    rows = None if rows_placement is None else torch.tensor([1, 0, 1], dtype=torch.int32)
    turns = torch.randint(-(2**62), 2**62, (2, 4), generator=torch.Generator().manual_seed(2))
    phase = (POSITIONS[None], turns, torch.tensor([1.0, 1.25]), rows, None)
    placements = (positions_placement, Replicate(), Replicate(), rows_placement, None)
    expected = torch.ops.tightrope.cos_sin(*phase)
    made = torch.ops.tightrope.cos_sin(*(
        None if part is None else distribute_tensor(part, mesh, [placement])
        for part, placement in zip(phase, placements, strict=True)
    ))  # fmt: skip
    return all(same(a, b) for a, b in zip(made, expected, strict=True))


for name, placements in {
    "seq": (Shard(2), None), "batch": (Shard(1), None), "whole": (Replicate(), None),
    "batch by rows": (Shard(1), Shard(0)), "batch, rows whole": (Shard(1), Replicate()),
    "seq by rows": (Shard(2), Replicate()),
}.items():  # fmt: skip
    record(f"angles {name}", lambda placements=placements: angles_operator(*placements))
compiled = torch.compile(lambda x: ROPE(x, positions=POSITIONS), fullgraph=True, backend="aot_eager")
for name in ("heads", "seq", "batch"):
    placed = distribute_tensor(Q, mesh, [PLACEMENTS[name]])
    record(f"compiled {name}", lambda placed=placed: same(compiled(placed), expected))
dist.barrier()
dist.destroy_process_group()
print(json.dumps(result))
