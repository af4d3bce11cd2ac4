"""GGUF files (llama.cpp)."""

from tightrope.rope.reading.gguf.model import read_gguf

__all__ = ["read_gguf"]
