"""Some processes of MLX's ring, each with a part of a model of mlx-lm: `mlx_models.py FOLDER WAY…`."""

import json
import sys

import mlx.core as mx
import numpy as np
from mlx_lm.generate import generate_step, generation_stream
from mlx_lm.utils import load

import tightrope

mx.set_default_device(mx.cpu)
GROUP = mx.distributed.init(strict=True, backend="ring")
TOKENS = [5, 9, 77, 3, 12, 100, 41, 8, 64, 2, 30, 31]


def split_then_patched(folder):
    """Return a model that mlx-lm split itself, patched, and the layers that are here."""
    model = load(folder)[0]
    model.model.pipeline(GROUP)
    return model, [part.layer for part in tightrope.patch(model, folder).layers]


WAYS = {
    "pipeline": lambda folder: (tightrope.load_mlx(folder, pipeline_group=GROUP)[0], None),
    "split then patched": split_then_patched,
    "tensors": lambda folder: (tightrope.load_mlx(folder, tensor_group=GROUP)[0], None),
}


def outcome(model):
    """Return the logits of a prompt, and the tokens that follow it."""
    logits = np.array(model(mx.array([TOKENS])))
    tokens = [int(token) for token, _ in generate_step(mx.array(TOKENS), model, max_tokens=4)]
    mx.synchronize(generation_stream)  # one token more, and its collectives, are in flight
    return logits, tokens


folder, *ways = sys.argv[1:]
whole, following = outcome(tightrope.load_mlx(folder)[0])
result = {}
for way in ways:
    model, layers = WAYS[way](folder)
    logits, tokens = outcome(model)
    error = float(np.abs(logits - whole).max() / np.abs(whole).max())
    result[way] = {"error": error, "same tokens": tokens == following, "layers": layers}
mx.eval(mx.distributed.all_sum(mx.array(1.0)))
print(json.dumps(result))
