"""What keys say of a rotation by their names alone: the vocabulary that is common to families.

Files of families that no table has are read by it, and a key that no reader of a family asked for is compared by it
with what was read: `"use_rope": true` agrees with a model that has ropes.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from tightrope.rope.config.model import ModelRope
from tightrope.rope.support.validation import is_number, is_one_of

_SOUNDS = re.compile(
    r"rope|rotary|rotat|neox|rotor|fourier|fope|xpos|alibi|theta|mscale|(^|_)(swa|yarn|ntk|nope|freq|freqs)(_|$)|inv_freq"
    r"|wavelength|sinusoid|sin_?cos|(^|_)rot(_|$)|frequency_base"
    r"|position|pos_emb|pos_enc|posemb|(^|_)pe_type|orig(inal)?_(max|context|seq)|attn_factor|attention_factor"
    r"|logn|temperature_tuning|llama_4_scaling|(^|_)(long|short)_factor|base_freq"
    r"|^(full|sliding|local|global|linear)_att(ention|n)_(layers|interval|pattern|every\w*|idxs|idx)$"
)
# How many positions a table of learned positions has, how attention shares its heads: no part of a rotation.
_ELSEWHERE = re.compile(
    r"^(max|num)_\w*positions?(_embeddings?)?$|^position_\w*size$|^n_positions$|position_(bias|ids?|buckets)\w*$"
    r"|_validation$|heads?$|v_head_dim$|dropout|_bias$|_eps$|_size$|^relative_|^num_\w*_buckets$|^pos_att_type$"
)
# Words that count whatever follows them, but for these.
_NAMED = re.compile(r"rope|rotary|(^|_)swa_")
_NO_STATEMENT = re.compile(r"_validation$")

_POSITIONS = r"(positional|position|pos)_?(embeddings?|encodings?|emb|enc)"
_SWITCH = re.compile(
    r"(use_|is_|has_|with_|enable_|apply_|attn_|attention_|self_attn_)*"
    rf"(rope|rotary|rotary_emb|(rotary_|rope_)?{_POSITIONS}|rotary_embeddings?|rope_embeddings?)(_enabled)?"
)
_OFF_SWITCH = re.compile(r"(no|disable|without|skip)_(rope|rotary|nope|rotary_emb|rotary_embeddings?)|(use_|is_)?nope")
_KIND = re.compile(rf"(attn_|attention_)?({_POSITIONS}|position_info)s?_?(type|kind|name)?|pe_type")
_LAYOUT = re.compile(
    r"((use_|is_)?(rope|rotary)(_emb|_embedding)?_(is_)?|is_)interleaved?|rope_traditional|rotary_interleaved"
)
_NEOX = re.compile(r"(rope_|rotary_|use_|is_)*neox(_style|_rope|_rotary)*")
_VARIANT = re.compile(
    r"alibi|mrope|m_rope|xdrope|2d_rope|dynamic_ntk|logn|xpos|flash_rotary|rope_scal|swa|sliding|yarn|ntk|longrope|temperature"
)
# Null is how files leave these out.
_OPTIONAL = re.compile(r"(dim|scaling|section|parameters|layers|layer_types|interval|pattern|factors?)$")
_WHAT = r"(rope|rotary|freqs?|inv_freq|theta|fourier)"
_LEARNED = re.compile(rf"fourier|fope|(learn|train)\w*_{_WHAT}|{_WHAT}\w*_(learn|train)")

BASE_KEYS = (
    "rope_theta",
    "rotary_emb_base",
    "rope_embedding_base",
    "rotary_base",
    "rope_base",
    "rotary_embedding_base",
    "rope_freq_base",
    "rotary_theta",
)
SHARE_KEYS = (
    "partial_rotary_factor",
    "rotary_pct",
    "rope_pct",
    "rotary_emb_fraction",
    "rotary_percent",
    "rope_percent",
)
WIDTH_KEYS = ("rotary_dim", "rotary_emb_dim", "rotary_ndims", "rope_dim")

# Lengths bound no rotation; only a misspelt one is missed.
_LENGTHS = frozenset({"max_position_embeddings", "original_max_position_embeddings"})

KNOWN_KEYS = frozenset(
    {
        *BASE_KEYS,
        *SHARE_KEYS,
        *WIDTH_KEYS,
        "rope_scaling",
        "rope_parameters",
        "qk_rope_head_dim",
        "qk_nope_head_dim",
        "rope_interleave",
        "rope_local_base_freq",
        "swa_rope_theta",
        "position_embedding_type",
        "no_rope_layers",
        "no_rope_layer_interval",
        "layer_rope_theta",
        *_LENGTHS,
    }
)

# Keys of code that no table has, whose misspelt forms no word gives away.
_ALSO_MISSPELT = ("positional_embedding_type", "use_positional_embeddings", "full_attention_layers")


def sounds_like_position(key: str) -> bool:
    """Return whether the name of a key suggests that it is about positions; misspelt names count."""
    name = key.lower()
    if name in KNOWN_KEYS:
        return name not in _LENGTHS
    if _SOUNDS.search(name):
        return not (_NO_STATEMENT if _NAMED.search(name) else _ELSEWHERE).search(name)
    # A slip of one letter leaves the first or the last three as they were: few names need the whole comparison.
    ends = name[:_END] in _starts() or name[-_END:] in _endings()
    return ends and not _near(name).isdisjoint(_nearest())


_END = 3


@cache
def _starts() -> frozenset[str]:
    return frozenset(key[:_END] for key in KNOWN_KEYS)


@cache
def _endings() -> frozenset[str]:
    return frozenset(key[-_END:] for key in KNOWN_KEYS)


@cache
def _nearest() -> frozenset[str]:
    return frozenset().union(*map(_near, (*KNOWN_KEYS, *_ALSO_MISSPELT)))


def _near(name: str) -> set[str]:
    """Return the name with any one letter left out: names that share one differ by a letter, or by two exchanged."""
    if not 8 <= len(name) <= _LONGEST:
        return set()
    return {name[:place] + name[place + 1 :] for place in range(len(name))} | {name}


_LONGEST = 40


def learned(keys: Iterable[str], values: Mapping[str, Any]) -> str | None:
    """Return the key that says that frequencies or coefficients are learned, which no configuration holds."""
    return next((key for key in keys if values[key] and _LEARNED.search(key.lower())), None)


def learned_in_block(key: str) -> bool:
    """Return whether a key of a rope block declares learned coefficients."""
    return re.search(r"fourier|fope|learn|trainable", key.lower()) is not None


def rotates(key: str, value: object) -> bool | None:
    """Return what a switch or a kind of positions says: rotary ones, or none; None where the key says nothing of it."""
    name = key.lower()
    if _KIND.fullmatch(name) and isinstance(value, str):
        return any(word in value.lower() for word in ("rope", "rotary")) and "nope" not in value.lower()
    if not is_one_of(value, (True, False, 0, 1)):
        return None
    if _SWITCH.fullmatch(name):
        return bool(value)
    return not value if _OFF_SWITCH.fullmatch(name) else None


def interleaved(key: str, value: object) -> bool | None:
    """Return what a key says of the layout: neighbours pair up; None where it says nothing of it."""
    if not isinstance(value, bool):
        return None
    if _LAYOUT.fullmatch(key.lower()):
        return value
    return not value if _NEOX.fullmatch(key.lower()) else None


class Statement(NamedTuple):
    """A key with its value."""

    key: str
    value: Any


def is_optional(key: str) -> bool:
    """Return whether files write null for this key where it has no value."""
    return _OPTIONAL.search(key.lower()) is not None


def agrees(statement: Statement, model: ModelRope) -> bool:
    """Return whether the model agrees with this key although no reader used it."""
    key, value = statement
    if isinstance(value, list | tuple | Mapping) and not value:
        return True  # empty: it says nothing
    if value is None and is_optional(key):
        return True
    if any(value is none for none in (None, False)) and _VARIANT.search(key.lower()):
        return True  # a variant that is switched off, and that was not read
    said = rotates(key, value)
    if said is not None:
        return said == bool(model.ropes)
    return bool(model.ropes) and _agrees_with_ropes(key, value, model)


def _agrees_with_ropes(key: str, value: object, model: ModelRope) -> bool:
    ropes = model.ropes.values()
    neighbours = interleaved(key, value)
    if neighbours is not None:
        return all((rope.layout == "interleaved") == neighbours for rope in ropes)
    if not is_number(value):
        return False
    if key in BASE_KEYS:
        return all(rope.base == value for rope in ropes)
    if key in SHARE_KEYS:
        # A share beyond 1 is none, and its product may be beyond every float.
        return 0 <= value <= 1 and all(int(rope.head_dim * value) == rope.rotary_dim for rope in ropes)
    return key in WIDTH_KEYS and all(rope.rotary_dim == value for rope in ropes)
