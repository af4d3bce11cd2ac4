"""A model of mlx-lm whose base only the newer spelling says."""

import importlib
import json

import mlx.core as mx
from mlx.utils import tree_flatten

from models import tiny_models

CONFIG = {
    "model_type": "qwen2", **tiny_models.SIZES, "num_hidden_layers": 5, "rms_norm_eps": 1e-6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 250_000.0},
}  # fmt: skip


def built():
    """Return the model as mlx-lm builds it."""
    module = importlib.import_module("mlx_lm.models.qwen2")
    mx.random.seed(0)
    return module.Model(module.ModelArgs.from_dict({**CONFIG, "rope_theta": 250_000.0, "rope_scaling": None}))


def save(path):
    """Write the model into a folder, as mlx-lm would save it."""
    (path / "config.json").write_text(json.dumps(CONFIG))
    weights = {name: value * 3 for name, value in tree_flatten(built().parameters())}
    mx.save_safetensors(str(path / "model.safetensors"), weights, metadata={"format": "mlx"})
    tiny_models.save_tokenizer(path)
