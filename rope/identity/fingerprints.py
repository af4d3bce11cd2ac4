"""A short name for a rotation: equal where the rotation is, however it was written down.

Keys that two programs rotate alike carry the same fingerprint; anything that changes a rotated key changes it.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.config.terms import Layout
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import Frequencies, frequencies
from tightrope.rope.reading.reader import model_from

VERSION: Final = "rope1"

# Two to a doubling, up to 2³¹ tokens: where frequencies follow the length by a formula, that is what tells two apart.
_LENGTHS: Final = sorted({2**power for power in range(32)} | {3 * 2**power for power in range(30)})


def fingerprint(source: object, seq_len: int | None = None) -> str:
    """Return "rope1:" and 24 hexadecimal digits that stand for the rotation of every layer of a model.

    Taken, layer by layer, over the float64 bits of inv_freq, the attention factor, layout, side, head_dim, rotary_dim
    and the axis of each pair (M-RoPE). The direction is the sign of inv_freq. Names, spellings, declared context
    lengths, the attention temperature and the scale of the logits are not in it: they change no rotated key.
    The layout is that of the published weights: a GGUF file or a params.json, whose weights are stored in another
    order of channels, has the fingerprint of the config.json.

    Args:
        source: What `tightrope.read` returned, a single `RopeConfig`, a model with a `config`, or anything that `read`
            takes.
        seq_len: Tokens in context. None: where the frequencies follow the length, the whole law counts, both tables of
            LongRoPE and the switch between them; else the frequencies of that length alone.

    Raises:
        RopeConfigError: The source cannot be read, or has no rotation in any layer and no rope.
    """
    return f"{VERSION}:{_digest(_layers(as_model(source), seq_len), 24)}"


def layer_fingerprints(source: object, seq_len: int | None = None) -> tuple[str | None, ...]:
    """Return the fingerprint of each layer by itself, None where it has no position; see `fingerprint`."""
    model = as_model(source)
    known = {key: rope_fingerprint(rope, seq_len, layout=model.published_layout) for key, rope in model.ropes.items()}
    return tuple(None if key is None else known[key] for key in model.layers)


def rope_fingerprint(rope: RopeConfig, seq_len: int | None = None, *, layout: Layout | None = None) -> str:
    """Return the fingerprint of one rope.

    Args:
        rope: The rope.
        seq_len: See `fingerprint`.
        layout: The layout of the published weights, where it is not the rope's.
    """
    return f"{VERSION}:{_digest(statement(rope, seq_len, layout=layout), 24)}"


def statement(rope: RopeConfig, seq_len: int | None = None, *, layout: Layout | None = None) -> dict[str, Any]:
    """Return what decides a rotated key, in JSON's types; the arguments are those of `rope_fingerprint`."""
    axes = (0,) * rope.pairs if rope.mrope is None else rope.mrope.pair_axes(rope.pairs)
    return {
        "frequencies": _law(rope, seq_len),
        "layout": layout or rope.layout,
        # The whole width has no side.
        "side": rope.side if rope.rotary_dim < rope.head_dim else "head",
        "head_dim": rope.head_dim,
        "rotary_dim": rope.rotary_dim,
        "axes": list(axes),
    }


def as_model(source: object) -> ModelRope:
    """Return the ropes that a source means; see `fingerprint`."""
    model = model_from(getattr(source, "config", source))
    if not model.ropes and not model.layers:
        raise RopeConfigError("this model has no rotation: it has neither ropes nor layers")
    return model


def _layers(model: ModelRope, seq_len: int | None) -> Sequence[str | None]:
    """Return the fingerprints of the layers; of the ropes, in order, where the configuration counts no layers."""
    if model.layers:
        return layer_fingerprints(model, seq_len)
    return sorted(rope_fingerprint(rope, seq_len, layout=model.published_layout) for rope in model.ropes.values())


def _law(rope: RopeConfig, seq_len: int | None) -> list[Any]:
    """Return the bits of the frequencies: of one table, of two and their boundary, or of a table per length."""
    if seq_len is not None or not rope.scaling.follows_length:
        return [_bits(frequencies(rope, seq_len))]
    boundary = rope.scaling.switch_length(rope)
    if boundary is None:
        return list(_samples(rope))
    short, long = (_bits(frequencies(rope, length)) for length in (boundary, boundary + 1))
    return [short] if short == long else [boundary, short, long]


def _samples(rope: RopeConfig) -> Iterator[str | None]:
    for length in _LENGTHS:
        try:
            yield _bits(frequencies(rope, length))
        except RopeConfigError:  # no finite frequencies at that length
            yield None


def _bits(freqs: Frequencies) -> str:
    # + 0.0: a frequency of −0 turns like one of 0.
    values = np.ascontiguousarray(freqs.inv_freq + 0.0, "<f8").tobytes()
    return hashlib.sha256(values + struct.pack("<d", freqs.attention_factor)).hexdigest()


def _digest(value: object, digits: int) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:digits]
