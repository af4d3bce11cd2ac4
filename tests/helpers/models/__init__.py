"""Tiny models, in either framework or both, and the configurations they are made of."""
