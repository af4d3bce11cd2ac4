"""transformers' own tensor and pipeline parallelism and FSDP2, patched, against the patched whole model."""

import json
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist
import transformers
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel
from transformers import GlmConfig, GlmForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.distributed import DistributedConfig

import tightrope

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
dist.init_process_group("gloo", timeout=timedelta(seconds=60))
RANK, WORLD = dist.get_rank(), dist.get_world_size()
SHAPE = {
    "vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 2**20, "pad_token_id": 0,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
MODELS = {
    "llama": partial(LlamaForCausalLM, LlamaConfig(**SHAPE, rope_parameters=LLAMA3)),
    "glm": partial(GlmForCausalLM, GlmConfig(**SHAPE, partial_rotary_factor=0.5)),
}
TOKENS = torch.arange(1, 13)[None]
# So far out that the float32 angles of the model's own code are off: who patched nothing is found out.
AT = TOKENS + 1_000_000
result = {}


def logits(model):
    with torch.no_grad():
        output = model(TOKENS, position_ids=AT, use_cache=False).logits
    return output.full_tensor() if hasattr(output, "full_tensor") else output


def apart(logits, expected):
    return float((logits.float() - expected.float()).abs().max() / expected.float().abs().max())


def record(name, check):
    try:
        result[name] = check()
    except Exception as error:
        result[name] = f"{type(error).__name__}: {error}"[:500]


def split(name, **how):
    """Return how far the logits of a model that transformers splits are from the whole's: before, after, restored."""
    whole = type(MODELS[name]()).from_pretrained(name).eval()
    own = logits(whole)
    tightrope.patch(whole)
    expected = logits(whole)
    model = type(whole).from_pretrained(name, distributed_config=DistributedConfig(**how)).eval()
    layers = sum(not isinstance(layer, torch.nn.Identity) for layer in model.model.layers)
    before = apart(logits(model), expected)
    tightrope.patch(model)
    after = apart(logits(model), expected)
    tightrope.unpatch(model)
    return {"before": before, "after": after, "unpatched": apart(logits(model), own), "layers": layers}


def generated(name, **how):
    """Say whether a split model goes on from a prompt as the whole does."""
    whole = type(MODELS[name]()).from_pretrained(name).eval()
    tightrope.patch(whole)
    model = type(whole).from_pretrained(name, distributed_config=DistributedConfig(**how)).eval()
    tightrope.patch(model)
    made, expected = (one.generate(TOKENS, max_new_tokens=6, do_sample=False) for one in (model, whole))
    return torch.equal(made, expected)


def sharded(name, dtype, patch_first):
    """Say whether FSDP2, its layers in a dtype, gives the bits of the whole model in that dtype; and its gradients."""
    whole = type(MODELS[name]()).from_pretrained(name).to(dtype)
    tightrope.patch(whole)
    model = type(whole).from_pretrained(name)
    if patch_first:
        tightrope.patch(model)
    policy = MixedPrecisionPolicy(param_dtype=dtype)
    for layer in model.model.layers:
        fully_shard(layer, mesh=MESH, mp_policy=policy)
    fully_shard(model, mesh=MESH, mp_policy=policy)
    if not patch_first:
        tightrope.patch(model)
    same = torch.equal(logits(model.eval()), logits(whole.eval()))
    for one in (model, whole):
        one.train()(TOKENS, position_ids=AT, use_cache=False, labels=TOKENS).loss.backward()
    near = model.model.layers[0].self_attn.q_proj.weight.grad.full_tensor()
    return {"same": same, "gradient": apart(near, whole.model.layers[0].self_attn.q_proj.weight.grad)}


def wrapped(name, wrap, patch_first):
    """Say whether a wrapped model has the bits of the whole, patched through the wrapper, and after unpatch its own."""
    whole = type(MODELS[name]()).from_pretrained(name).eval()
    own = logits(whole)
    tightrope.patch(whole)
    model = type(whole).from_pretrained(name).eval()
    if patch_first:
        tightrope.patch(model)
    model = wrap(model)
    if not patch_first:
        tightrope.patch(model)
    same = torch.equal(logits(model), logits(whole))
    tightrope.unpatch(model)
    return [same, torch.equal(logits(model), own)]


WRAPPERS = {"DDP": DistributedDataParallel, "FSDP1": partial(FullyShardedDataParallel, use_orig_params=True,
                                                               device_id=torch.device("cpu"))}  # fmt: skip

if RANK == 0:
    torch.manual_seed(0)
    for name, make in MODELS.items():
        make().save_pretrained(name)
dist.barrier()
MESH = init_device_mesh("cpu", (WORLD,))
for patch_first in (True, False):
    order = "patched before" if patch_first else "patched after"
    for kind, wrap in WRAPPERS.items():
        record(f"{kind} {order}", lambda wrap=wrap, first=patch_first: wrapped("llama", wrap, first))
for name in MODELS:
    record(f"{name} tensor", lambda name=name: split(name, tp_size=WORLD, tp_plan="auto"))
    record(f"{name} pipeline", lambda name=name: split(name, pp_size=WORLD))
    record(f"{name} tensor generates", lambda name=name: generated(name, tp_size=WORLD, tp_plan="auto"))
    record(f"{name} pipeline generates", lambda name=name: generated(name, pp_size=WORLD))
    for patch_first in (True, False):
        order = "patched before" if patch_first else "patched after"
        for dtype in (torch.float32, torch.bfloat16):
            label = f"{name} {str(dtype)[6:]} {order}"
            record(label, lambda name=name, dtype=dtype, first=patch_first: sharded(name, dtype, first))
dist.barrier()
dist.destroy_process_group()
print(json.dumps(result))
