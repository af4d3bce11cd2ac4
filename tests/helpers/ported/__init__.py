"""Modeling files in the style of transformers 4.x, and the same files ported to MLX by changing array calls alone.

`run` gives one of them its configuration, weights and tokens, and returns the logits. The torch files name
`transformers.modeling_rope_utils`; `run(…, utils="tightrope.backends.torch.rope_utils")` changes that import line.
"""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np

UTILS = "transformers.modeling_rope_utils"
VOCABULARY, HIDDEN, HEADS = 32, 64, 4


def load(name, utils=UTILS):
    """Return the module of a file, its import line changed to another module of the same names."""
    text = (Path(__file__).parent / f"{name}.py").read_text()
    module = ModuleType(f"ported_{name}_{utils.replace('.', '_')}")
    sys.modules[module.__name__] = module
    exec(compile(text.replace(f"from {UTILS} import", f"from {utils} import"), name, "exec"), vars(module))
    return module


def weights(seed=0):
    """Return the matrices of a decoder layer, float32."""
    rng = np.random.default_rng(seed)
    shapes = {"embed": (VOCABULARY, HIDDEN), **dict.fromkeys(("q", "k", "v", "o"), (HIDDEN, HIDDEN))}
    scale = {"embed": 1.0}  # entries of q and k of about 2, so that attention is far from uniform
    return {
        name: (rng.standard_normal(shape) * scale.get(name, 0.25)).astype(np.float32) for name, shape in shapes.items()
    }


def run(name, config, tokens, positions, utils=UTILS):
    """Return the logits (batch, seq, vocabulary) of each call in turn, as numpy arrays.

    Args:
        name: The file.
        config: Its configuration.
        tokens: For each call (batch, seq).
        positions: For each call (batch, seq) or (axes, batch, seq).
        utils: The module that the rope functions are imported from.
    """
    model = load(name, utils).Decoder(config, weights())
    return [model.logits(t, p) for t, p in zip(tokens, positions, strict=True)]
