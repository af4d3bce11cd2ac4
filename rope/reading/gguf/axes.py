"""The pairs that ggml gives to M-RoPE's fourth axis, where a model's own code has three."""

from tightrope.rope.config.rope import RopeConfig

_AXES = 3


def fourth_axis(rope: RopeConfig) -> tuple[int, ...]:
    """Return the pairs that interleaved sections of three axes leave over in ggml; text has position 0 there.

    Pair i is of axis i mod 3 as long as i < 3 · sections[i mod 3]. The models' own code starts from the first axis and
    overwrites the pairs of the other two, so that what is left over is the first axis's.
    """
    if rope.mrope is None or rope.mrope.order != "interleaved" or len(rope.mrope.sections) != _AXES:
        return ()
    sections = rope.mrope.sections
    return tuple(pair for pair in range(rope.pairs) if pair >= _AXES * sections[pair % _AXES])
