"""Configuration files for the tests of the command line."""

import json
from pathlib import Path

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": 128,
    "rope_theta": 10000.0,
}


def write(path: Path, content: object) -> Path:
    """Write text as it is, and everything else as JSON; return the path."""
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path
