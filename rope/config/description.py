"""A rope in words, for every report, message and repr."""

from tightrope.rope.config.rope import RopeConfig


def describe(rope: RopeConfig, *, context: bool = False) -> str:
    """Return a rope in one line: `"llama3, base 500,000, 64 of 128 channels, half"`.

    Args:
        rope: The rope.
        context: Name the context length and the number of position axes too.
    """
    parts = [rope.scaling.rope_type, f"base {rope.base:,.12g}", f"{rope.rotary_dim} of {rope.head_dim} channels"]
    parts.append(rope.layout)
    if rope.side == "tail":
        parts.append("tail")
    if context and rope.max_position_embeddings is not None:
        parts.append(f"{rope.max_position_embeddings:,} tokens")
    if context and rope.axes > 1:
        parts.append(f"{rope.axes} position axes")
    return ", ".join(parts)
