"""What has to be known about cached keys before another program may use them: the record that travels with them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, Self, get_args

import numpy as np

from tightrope.rope.config.terms import LAYOUTS, Layout
from tightrope.rope.errors import RopeConfigError, shortened, suggestion
from tightrope.rope.frequencies import Frequencies, Precision, frequencies
from tightrope.rope.identity.fingerprints import as_model, layer_fingerprints, statement
from tightrope.rope.support.validation import is_list, is_whole, number, one_of, positive_integer, require

VERSION: Final = 1
METADATA_KEY: Final = "tightrope.keys"
DTYPE_BYTES: Final = {"float32": 4, "bfloat16": 2, "float16": 2}
Kind = Literal["full", "window", "latent"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ORDERS: Final = ("bhsd", "bshd", "thd")

_HEAD = ("layout", "side", "head_dim", "rotary_dim", "axes")


@dataclass(frozen=True, kw_only=True)
class KeyRecord:
    """How cached keys were made, layer by layer.

    Attributes:
        layers: The fingerprint of each layer's rotation, None where it has no position; see `tightrope.fingerprint`.
        ropes: By fingerprint: inv_freq and attention_factor in force when the keys were rotated, side, widths and axes.
        rotated: Whether the keys are rotated, or plain.
        positions: The position of each token, (tokens,), or a row for each axis of M-RoPE.
        precision: Of the angles, see `RotaryEmbedding`.
        layout: Which channels of these keys form a pair.
        order: The axes of the arrays.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`.
        kv_heads: Heads in these arrays; of all slices together it is kv_heads · slices.
        slice: (index, slices) of tensor parallelism.
        kind: Of cache: `"full"`, `"window"` (a layer has as many of the latest tokens as its array) or `"latent"` (MLA:
            the rotated part of latent keys); one for all layers, or one per layer.
        tokens: The ids of the tokens, where they are known.
        weights: A hash of the weights, of any kind, where it is known.
        version: Of this record.
    """

    layers: tuple[str | None, ...]
    ropes: Mapping[str, Mapping[str, Any]]
    rotated: bool
    positions: tuple[Any, ...]
    precision: Precision
    layout: Layout
    order: Literal["bhsd", "bshd", "thd"]
    dtype: str
    kv_heads: int
    slice: tuple[int, int] = (0, 1)
    kind: Kind | tuple[Kind, ...] = "full"
    tokens: tuple[int, ...] | None = None
    weights: str | None = None
    version: int = VERSION

    def __post_init__(self) -> None:
        for name in ("layers", "positions", "slice", "tokens", "kind"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, _tuples(getattr(self, name)))
        require(_problems(self))

    @property
    def count(self) -> int:
        """Tokens whose keys these are."""
        rows = self.positions
        return len(rows[0]) if rows and isinstance(rows[0], tuple) else len(rows)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kind of each layer."""
        return self.kind if isinstance(self.kind, tuple) else (self.kind,) * len(self.layers)

    def holds(self, layer: int, tokens: int) -> bool:
        """Return whether an array of a layer may have so many tokens."""
        return tokens == self.count or (self.kinds[layer] == "window" and 0 <= tokens < self.count)

    def frequencies(self, layer: int) -> Frequencies | None:
        """Return the frequencies in force in a layer, None where it has no position."""
        name = self.layers[layer]
        if name is None:
            return None
        rope = self.ropes[name]
        dtype = np.float64 if self.precision == "exact" else np.float32
        return Frequencies(np.array(rope["inv_freq"], dtype), rope["attention_factor"])

    def to_json(self) -> str:
        """Return the record as JSON; floats keep their bits."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the record that `to_json` wrote.

        Raises:
            RopeConfigError: It is none, of another version, or a field cannot be right.
        """
        try:
            values = json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise RopeConfigError(f"the record of the keys must be JSON: {error}") from error
        if not isinstance(values, dict):
            raise RopeConfigError(f"the record of the keys must be a JSON object, got {shortened(values)}")
        if values.get("version") != VERSION:
            got = shortened(values.get("version"))
            raise RopeConfigError(f"version of the record must be {VERSION}, got {got}; update tightrope on both sides")
        names = [item.name for item in fields(cls)]
        require(f"unknown field {name!r}{suggestion(name, names)}" for name in values if name not in names)
        missing = [name for name in names[:9] if name not in values]
        require(f"{name} is required in the record and missing" for name in missing)
        return cls(**values)

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata of a safetensors file."""
        return {METADATA_KEY: self.to_json()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None) -> Self:
        """Return the record in the metadata of a safetensors file; see `from_json`."""
        if not metadata or METADATA_KEY not in metadata:
            raise RopeConfigError(f"the file must have {METADATA_KEY!r} in its metadata: its keys say nothing")
        return cls.from_json(metadata[METADATA_KEY])


def record_of(
    source: object, positions: Any, *, dtype: str, kv_heads: int, seq_len: int | None = None, **more: Any
) -> KeyRecord:
    """Return the record of keys that a model has cached.

    Args:
        source: The model, see `tightrope.fingerprint`.
        positions: The position of each token, (tokens,), or (axes, tokens).
        dtype: Of the keys.
        kv_heads: Heads of the keys.
        seq_len: The length whose frequencies were in force, where they follow it; by default the last position + 1.
        more: Other fields of `KeyRecord`. Keys are rotated, exact, in order "bhsd" and the model's layout by default.
    """
    model = as_model(source)
    at = np.asarray(positions)
    at = at if at.size else at.astype(np.int64)  # nothing, which numpy takes for floats
    names = [item.name for item in fields(KeyRecord)]
    require(f"unknown field {name!r}{suggestion(name, names)}" for name in more if name not in names)
    if at.dtype.kind not in "iu" or at.ndim not in (1, 2):
        raise RopeConfigError(f"positions must be (tokens,) or (axes, tokens) integers, got {shortened(positions)}")
    length = int(at.max(initial=-1)) + 1 if seq_len is None else seq_len
    layout = next((rope.layout for rope in model.ropes.values()), "half")
    values = {"rotated": True, "precision": "exact", "layout": layout, "order": "bhsd", **more}
    layers, ropes = layer_fingerprints(model), {}
    for name, key in zip(layers, model.layers, strict=True):
        if name is not None and key is not None:
            found = frequencies(model.ropes[key], length, precision=values["precision"])
            said = statement(model.ropes[key], length, layout=model.published_layout)
            ropes[name] = {"inv_freq": found.inv_freq.tolist(), "attention_factor": found.attention_factor}
            ropes[name] |= {part: said[part] for part in _HEAD if part != "layout"}
    at_rows = _tuples(at.tolist())
    return KeyRecord(layers=layers, ropes=ropes, positions=at_rows, dtype=dtype, kv_heads=kv_heads, **values)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _problems(record: KeyRecord) -> Iterator[str]:
    yield from one_of("rotated", record.rotated, (True, False))
    yield from one_of("precision", record.precision, ("exact", "float32"))
    yield from one_of("layout", record.layout, LAYOUTS)
    yield from one_of("order", record.order, ORDERS)
    yield from one_of("dtype", record.dtype, DTYPE_BYTES)
    yield from _kind_problems(record)
    yield from positive_integer("kv_heads", record.kv_heads)
    yield from _list_problems(record)
    if not isinstance(record.ropes, Mapping):
        yield f"ropes must be an object, got {shortened(record.ropes)}"
    elif isinstance(record.layers, tuple):
        for name in dict.fromkeys(record.layers):
            if name is not None:
                yield from _rope_problems(name, record.ropes.get(name) if isinstance(name, str) else None)


def _kind_problems(record: KeyRecord) -> Iterator[str]:
    if not isinstance(record.kind, tuple):
        yield from one_of("kind", record.kind, KINDS)
        return
    if isinstance(record.layers, tuple) and len(record.kind) != len(record.layers):
        yield f"kind must be one, or one for each of {len(record.layers)} layers, got {len(record.kind)}"
    for one in record.kind:
        yield from one_of("kind", one, KINDS)


def _list_problems(record: KeyRecord) -> Iterator[str]:
    if not isinstance(record.layers, tuple):
        yield f"layers must be a list of fingerprints, got {shortened(record.layers)}"
    rows: Any = record.positions if is_list(record.positions) else (None,)
    rows = rows if rows and all(isinstance(row, tuple) for row in rows) else (rows,)
    if len({len(row) for row in rows}) > 1 or not all(is_whole(one) for row in rows for one in row):
        yield f"positions must be whole numbers, a row for each axis, got {shortened(record.positions)}"
    index = record.slice
    if not (isinstance(index, tuple) and len(index) == 2 and all(map(is_whole, index)) and 0 <= index[0] < index[1]):
        yield f"slice must be (index, slices), 0 <= index < slices, got {shortened(index)}"
    ids = record.tokens
    if ids is not None and not (isinstance(ids, tuple) and all(map(is_whole, ids))):
        yield f"tokens must be a list of whole numbers, got {shortened(ids)}"
    if record.weights is not None and not isinstance(record.weights, str):
        yield f"weights must be a string, got {shortened(record.weights)}"


def _rope_problems(name: str, rope: Any) -> Iterator[str]:
    if not isinstance(rope, Mapping) or not {"inv_freq", "attention_factor", *_HEAD[1:]} <= rope.keys():
        yield f"ropes must state inv_freq, attention_factor, {', '.join(_HEAD[1:])} for {shortened(name)}"
        return
    yield from positive_integer("head_dim", rope["head_dim"])
    yield from positive_integer("rotary_dim", rope["rotary_dim"])
    yield from one_of("side", rope["side"], ("head", "tail"))
    yield from number("attention_factor", rope["attention_factor"], above=0)
    for part in ("inv_freq", "axes"):
        if not is_list(rope[part]) or 2 * len(list(rope[part])) != rope["rotary_dim"]:
            yield f"{part} must have an entry for each pair, got {shortened(rope[part])}"
        else:
            yield from (line for one in rope[part] for line in number(f"an entry of {part}", one))
