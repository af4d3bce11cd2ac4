"""Two processes, each with a part of a sequence: what a rope that follows the length computes in each."""

import json
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor.experimental import context_parallel
from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

import tightrope
from tightrope.backends.torch import RotaryEmbedding
from tightrope.rope.positions import packed, restore_order, shards

torch.set_num_threads(1)
dist.init_process_group("gloo", timeout=timedelta(seconds=60))
RANK, WORLD = dist.get_rank(), dist.get_world_size()
MESH = init_device_mesh("cpu", (WORLD,))
SEQ, ORIGINAL = 16 * WORLD, 12 * WORLD
SHAPE = {
    "vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8, "long_factor": [1.0 + i for i in range(8)],
    "partial_rotary_factor": 1.0, "original_max_position_embeddings": ORIGINAL,
}  # fmt: skip
CONFIGS = {
    "longrope": lambda: Phi3ForCausalLM(
        Phi3Config(
            **SHAPE,
            max_position_embeddings=64 * WORLD,
            original_max_position_embeddings=ORIGINAL,
            rope_parameters=LONGROPE,
        )
    ),
    "dynamic": lambda: LlamaForCausalLM(
        LlamaConfig(
            **SHAPE,
            max_position_embeddings=8 * WORLD,
            rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0},
        )
    ),
    "default": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
}


def shards_of(kind, how):
    """Return whether this shard's cos and sin of a patched model are those of the whole, or the error."""
    model = CONFIGS[kind]().eval()
    tightrope.patch(model)
    positions, x = torch.arange(SEQ)[None].clone(), torch.zeros(1, SEQ, 8)
    whole = [part.clone() for part in model.model.rotary_emb(x, positions)]
    with context_parallel(MESH, buffers=[positions], buffer_seq_dims=[1]):
        try:
            if how is None:
                local = model.model.rotary_emb(x, positions)
            else:
                with tightrope.sequence(**how):
                    local = model.model.rotary_emb(x, positions)
        except tightrope.RopeConfigError as error:
            return str(error)
        return all(torch.equal(a, b[:, positions[0]]) for a, b in zip(local, whole, strict=True))


def of_module(kind):
    """A module asks the group too, row by row."""
    rope = RotaryEmbedding(tightrope.read(CONFIGS[kind]().config))
    positions = torch.arange(SEQ) + torch.tensor([[0], [-20]])
    q = torch.randn(2, 1, SEQ, 16, generator=torch.Generator().manual_seed(0))
    here = slice(RANK * SEQ // WORLD, (RANK + 1) * SEQ // WORLD)
    with tightrope.sequence(group=dist.group.WORLD):
        part = rope(q[:, :, here], positions=positions[:, here])
    return torch.equal(part, rope(q, positions=positions)[:, :, here])


def with_rows(rows):
    rope = RotaryEmbedding(tightrope.read(CONFIGS["dynamic"]().config))
    try:
        with tightrope.sequence(group=MESH):
            rope(torch.zeros(rows, 1, 2, 16), positions=torch.arange(2).expand(rows, 2))
    except tightrope.RopeConfigError as error:
        return str(error)


def attention(q, k, v, mask):
    scores = torch.einsum("shd,thd->hst", q, k) / q.shape[-1] ** 0.5
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    return torch.einsum("hst,thd->shd", weights, v)


def gathered(part, order):
    """Return the whole of an array of which each process has a shard, its tokens back in their order."""
    parts = [torch.empty_like(part) for _ in range(WORLD)]
    dist.all_gather(parts, part.contiguous())
    return torch.cat(parts)[order]


def attention_of(kind, scheme):
    """Return whether rotated keys have the bits of the whole, and how far causal attention of a shard is from it."""
    rope = RotaryEmbedding(tightrope.read(CONFIGS[kind]().config))
    packs = [0, 4 * WORLD, 12 * WORLD, SEQ] if "packed" in scheme else None
    how = {"cu_seqlens": packs, "major": scheme.split()[1], "scheme": "zigzag"} if packs else {"scheme": scheme}
    parts = shards(SEQ, WORLD, **how)
    here, order = torch.from_numpy(parts[RANK]), torch.from_numpy(restore_order(parts))
    documents = packed(packs or [0, SEQ])
    at, lengths = torch.from_numpy(documents.positions), torch.from_numpy(documents.lengths)
    random = torch.Generator().manual_seed(0)
    q, k, v = (torch.rand(SEQ, heads, 16, generator=random) - 0.5 for heads in (2, 2, 2))
    starts = torch.arange(SEQ) - at
    mask = (torch.arange(SEQ)[:, None] >= torch.arange(SEQ)) & (starts[:, None] == starts)
    whole_q, whole_k = rope(q, k, positions=at, seq_len=lengths, order="thd")
    expected = attention(whole_q, whole_k, v, mask)
    if packs:
        mine_q, mine_k = rope(q[here], k[here], positions=at[here], seq_len=lengths[here], order="thd")
    else:
        with tightrope.sequence(group=MESH):
            mine_q, mine_k = (x[0] for x in rope(q[here][None], k[here][None], positions=at[here][None], order="bshd"))
    all_k = gathered(mine_k, order)
    made = attention(mine_q, all_k, gathered(v[here], order), mask[here])
    return {"same": torch.equal(all_k, whole_k), "apart": float((made - expected[here]).abs().max())}


SCHEMES = ("contiguous", "zigzag", "striped", "packed rank", "packed document")
result = {f"{kind} {scheme}": attention_of(kind, scheme) for kind in CONFIGS for scheme in SCHEMES}
result |= {f"{kind} unsaid": shards_of(kind, None) for kind in CONFIGS}
result |= {f"{kind} length": shards_of(kind, {"length": SEQ}) for kind in CONFIGS}
result |= {f"{kind} group": shards_of(kind, {"group": dist.group.WORLD}) for kind in CONFIGS}
result |= {f"{kind} mesh": shards_of(kind, {"group": MESH}) for kind in CONFIGS}
result["short"] = shards_of("dynamic", {"length": SEQ - 1})
result["no group"] = shards_of("dynamic", {"group": "world"})
result |= {f"{kind} rows": of_module(kind) for kind in ("longrope", "dynamic")}
result["other rows"] = with_rows(RANK + 1)
dist.barrier()
dist.destroy_process_group()
print(json.dumps(result))
