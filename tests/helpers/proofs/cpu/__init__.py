"""The C kernel, compiled from its text as it is, with mistakes and under sanitizers."""
