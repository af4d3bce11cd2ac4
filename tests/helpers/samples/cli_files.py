"""Configuration files for the tests of the command line."""

import json
from pathlib import Path

import pytest

LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": 128,
    "rope_theta": 10000.0,
}


def results(text: str) -> list:
    """Return what --json wrote, without the frame that every command has."""
    framed = json.loads(text, parse_constant=pytest.fail)
    assert sorted(framed) == ["command", "results", "schema"]
    return framed["results"]


def write(path: Path, content: object) -> Path:
    """Write text as it is, and everything else as JSON; return the path."""
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path
