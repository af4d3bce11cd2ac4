"""Cached keys, moved from what one record says of them to what another asks for."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from tightrope.backends import load
from tightrope.rope.config.mrope import AxisOrder, MRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.config.terms import Layout
from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.frequencies import Frequencies
from tightrope.rope.identity.key_record import KeyRecord
from tightrope.rope.support.validation import is_whole, require

# What no operation on keys can change.
_FIXED: Final = ("layers", "precision", "dtype", "kv_heads", "slice", "kinds")
_IF_KNOWN: Final = ("tokens", "weights")


def move(keys: Any, source: KeyRecord, target: KeyRecord, *, layer: int) -> Any:
    """Return the keys of a layer as the target's own would be: rotated or plain, at its positions, in its layout.

    Each step that rotates rounds once: none where both are rotated alike, one for a rotation, for taking it back, for
    other positions or other frequencies in force, two where positions and frequencies differ. Between layouts and
    orders only channels and axes change place, bit for bit.

    Args:
        keys: An array of torch or MLX, in the source's order; of a window the latest tokens, as many as there are.
        source: What the keys are.
        target: What they shall be. tokens and weights count where both state them.
        layer: Which layer's.

    Raises:
        RopeConfigError: A field differs that no operation on keys can change, or the array is not what source says.
    """
    _check_records(source, target, layer)
    tokens, rope = _tokens(keys, source, layer), _rope(source, layer)
    framework = type(keys).__module__.partition(".")[0]
    backend = load(framework) if framework in ("torch", "mlx") else None
    if backend is None or not backend.RotaryEmbedding.ops.is_array(keys):
        raise RopeConfigError(f"keys must be an array of torch or MLX, got {type(keys).__name__}")
    if str(keys.dtype).rpartition(".")[2] != source.dtype:
        raise RopeConfigError(f"keys must be of the record's dtype {source.dtype!r}, got {keys.dtype}")
    ops = backend.RotaryEmbedding.ops
    if rope is not None:
        _check_width(keys, rope)
        module = backend.RotaryEmbedding(rope)
        for positions, old, new in _rotations(source, target, layer, tokens):
            # A copy where writing would reach the caller's array.
            keys = module.rerotate(keys.clone() if ops.in_place else keys, positions, old, new, order=source.order)
        if source.layout != target.layout:
            keys = keys[..., ops.from_numpy(_channels(rope, target.layout, keys.shape[-1]), keys)]
    return _ordered(keys, source.order, target.order)


def _check_records(source: KeyRecord, target: KeyRecord, layer: int) -> None:
    for name, record in (("source", source), ("target", target)):
        if not isinstance(record, KeyRecord):
            raise RopeConfigError(f"{name} must be a KeyRecord, got {type(record).__name__}")
    require(differences(source, target))
    if not is_whole(layer) or not 0 <= layer < len(source.layers):
        raise RopeConfigError(f"layer must be one of the {len(source.layers)}, counted from 0, got {shortened(layer)}")


def _check_width(keys: Any, rope: RopeConfig) -> None:
    if keys.shape[-1] < rope.rotary_dim:
        raise RopeConfigError(f"keys must have at least rotary_dim ({rope.rotary_dim}) channels, got {keys.shape[-1]}")


def differences(source: KeyRecord, target: KeyRecord) -> Iterator[str]:
    """Yield, by field, why keys cannot be moved from one record to the other."""
    for name in (*_FIXED, *_IF_KNOWN):
        one, other = getattr(source, name), getattr(target, name)
        if name in _IF_KNOWN and None in (one, other):
            continue
        if one != other:
            name = name.removesuffix("s") if name == "kinds" else name
            yield f"{name} must be the same on both sides, got {shortened(one)} and {shortened(other)}"
    if np.shape(source.positions) != np.shape(target.positions):
        yield f"positions must be as many on both sides, got {np.shape(source.positions)}, {np.shape(target.positions)}"
    if source.layers == target.layers:
        for name in {name for name in source.layers if name is not None}:
            parts = ("side", "head_dim", "rotary_dim", "axes")
            if any(list_of(source.ropes[name][part]) != list_of(target.ropes[name][part]) for part in parts):
                yield f"ropes of {name} must have the same side, widths and axes on both sides"


def list_of(value: Any) -> Any:
    """Return a list for any sequence: JSON has no tuples."""
    return list(value) if isinstance(value, tuple) else value


def _rotations(
    source: KeyRecord, target: KeyRecord, layer: int, tokens: int
) -> Iterator[tuple[Any, Frequencies, Frequencies]]:
    """Yield (positions, old, new) of each rotation between the two."""
    old, new = source.frequencies(layer), target.frequencies(layer)
    if old is None or new is None:
        return
    still = Frequencies(np.zeros_like(old.inv_freq), 1.0)
    before, after = (_positions(record, tokens) for record in (source, target))
    if not target.rotated:
        if source.rotated:
            yield before, old, still
        return
    if not source.rotated:
        yield after, still, new
        return
    if not np.array_equal(old.inv_freq, new.inv_freq) or old.attention_factor != new.attention_factor:
        yield before, old, new
    if not np.array_equal(before, after):
        yield after - before, still, Frequencies(new.inv_freq, 1.0)


def _positions(record: KeyRecord, tokens: int) -> Any:
    """Return the positions of the latest tokens."""
    positions = np.array(record.positions, np.int64)[..., record.count - tokens :]
    return positions[:, None] if positions.ndim == 2 else positions


def _rope(record: KeyRecord, layer: int) -> RopeConfig | None:
    """Return a rope of the record's shape; its frequencies are given with each rotation."""
    name = record.layers[layer]
    if name is None:
        return None
    rope = record.ropes[name]
    axes = list(rope["axes"])
    mrope = None
    if any(axes):
        sections = tuple(axes.count(axis) for axis in range(max(axes) + 1))
        orders: list[AxisOrder] = ["chunked", "interleaved", "reversed_chunked", "reversed_interleaved"]
        if len(sections) == 3 and sections[1] == sections[2]:
            orders.append("spatial_first")
        made = (MRope(sections=sections, order=order) for order in orders)
        mrope = next((one for one in made if list(one.pair_axes(len(axes))) == axes), None)
        if mrope is None:
            raise RopeConfigError(f"axes of layer {layer} are of no known order, got {shortened(axes)}")
    width = {"head_dim": rope["head_dim"], "rotary_dim": rope["rotary_dim"], "side": rope["side"]}
    return RopeConfig(**width, base=10_000.0, layout=record.layout, mrope=mrope)


def _channels(rope: RopeConfig, layout: Layout, width: int) -> Any:
    """Return, for each channel of the target, the channel of the source."""
    pairs: Any = np.arange(rope.rotary_dim, dtype=np.int64)
    pairs = pairs.reshape(2, -1).T if layout == "interleaved" else pairs.reshape(-1, 2).T
    start = 0 if rope.side == "head" else width - rope.rotary_dim
    channels = np.arange(width, dtype=np.int64)
    channels[start : start + rope.rotary_dim] = start + pairs.reshape(-1)
    return channels


def _tokens(keys: Any, record: KeyRecord, layer: int) -> int:
    """Return how many tokens there are, after a check of the shape."""
    shape = tuple(getattr(keys, "shape", ()))
    if len(shape) != len(record.order):
        raise RopeConfigError(f"keys must have the axes of order {record.order!r}, got shape {shape}")
    heads, tokens = (shape[1], shape[2]) if record.order == "bhsd" else (shape[-2], shape[-3])
    if heads != record.kv_heads or not record.holds(layer, tokens):
        said = f"{record.kv_heads} heads and {record.count} tokens"
        raise RopeConfigError(f"keys must have the record's {said}, got shape {shape} in order {record.order!r}")
    return int(tokens)


def _ordered(keys: Any, order: str, wanted: str) -> Any:
    """Return keys with their axes in another order."""
    if order == wanted:
        return keys
    if order == "thd":
        keys = keys[None]
    elif wanted == "thd" and keys.shape[0] != 1:
        raise RopeConfigError(f"order 'thd' holds one row of tokens, got {keys.shape[0]}")
    rows_last = {"bhsd": True, "bshd": False, "thd": False}
    keys = keys if rows_last[order] == rows_last[wanted] else keys.swapaxes(1, 2)
    return keys[0] if wanted == "thd" else keys
