"""Two processes of MLX's ring, each with a part of a sequence."""

import json

import mlx.core as mx

import tightrope
from tightrope.backends.mlx import RotaryEmbedding

mx.set_default_device(mx.cpu)
GROUP = mx.distributed.init(strict=True, backend="ring")
RANK, WORLD = GROUP.rank(), GROUP.size()
SEQ = 16 * WORLD
BASE = {"model_type": "llama", "head_dim": 16, "num_hidden_layers": 1, "rope_theta": 1e4}
SCALINGS = {
    "dynamic": {"rope_type": "dynamic", "factor": 4.0},
    "longrope": {
        "rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [1.0 + i for i in range(8)],
        "factor": 4.0, "original_max_position_embeddings": 12 * WORLD,
    },
}  # fmt: skip


def agrees(kind):
    rope = RotaryEmbedding(tightrope.read({**BASE, "max_position_embeddings": 8, "rope_scaling": SCALINGS[kind]}))
    mx.random.seed(0)
    q, positions = mx.random.normal((2, 1, SEQ, 16)), mx.arange(SEQ) + mx.array([[0], [-20]])
    here = slice(RANK * SEQ // WORLD, (RANK + 1) * SEQ // WORLD)
    with tightrope.sequence(group=GROUP):
        part = rope(q[:, :, here], positions=positions[:, here])
    return mx.array_equal(part, rope(q, positions=positions)[:, :, here]).item()


def refused(group):
    rope = RotaryEmbedding(tightrope.read({**BASE, "max_position_embeddings": 8, "rope_scaling": SCALINGS["dynamic"]}))
    try:
        with tightrope.sequence(group=group):
            rope(mx.zeros((1 + RANK, 1, 2, 16)), positions=mx.broadcast_to(mx.arange(2), (1 + RANK, 2)))
    except tightrope.RopeConfigError as error:
        return str(error)


result = {kind: agrees(kind) for kind in SCALINGS}
result |= {"no group": refused("ring"), "other rows": refused(GROUP)}
mx.eval(mx.distributed.all_sum(mx.array(1.0)))
print(json.dumps(result))
