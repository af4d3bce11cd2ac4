"""One process of a model of mlx-lm that is spread over several: `mlx_process.py FOLDER WAY OUTPUT`.

The group's size and this process's rank come from MLX_HOSTFILE and MLX_RANK.
"""

import sys

import mlx.core as mx
import numpy as np

import tightrope

TOKENS = [[5, 9, 77, 3, 12, 100, 41, 8, 64, 2, 30, 31]]


def main(folder: str, way: str, output: str) -> None:
    """Save the logits, and the layers that were patched."""
    group = mx.distributed.init(strict=True, backend="ring")
    if way == "split then patched":
        from mlx_lm.utils import load

        model = load(folder)[0]
        model.model.pipeline(group)
        layers = [part.layer for part in tightrope.patch(model, folder).layers]
    else:
        model, _ = tightrope.load_mlx(folder, **{way: group})
        layers = []
    logits = np.array(model(mx.array(TOKENS)))
    mx.eval(mx.distributed.all_sum(mx.array(1.0)))
    np.savez(output, logits=logits, layers=layers)


if __name__ == "__main__":
    main(*sys.argv[1:])
