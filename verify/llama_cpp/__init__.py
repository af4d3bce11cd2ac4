"""llama.cpp, executed: what it rotates by, measured in a process of its own."""

from tightrope.verify.llama_cpp.session import Node, Refusal, Session

__all__ = ["Node", "Refusal", "Session"]
