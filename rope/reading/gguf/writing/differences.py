"""In what a GGUF file differs from the one that a config.json should have become."""

import math
from typing import Any, Final

import numpy as np

from tightrope.rope.reading.gguf.file import GgufFile
from tightrope.rope.reading.gguf.unread import KNOWN_KEYS


def differences(stated: GgufFile, wanted: GgufFile) -> list[str]:
    """Return, in words, each key about rotation in which a file differs from what it should state."""
    found = []
    if stated.architecture != wanted.architecture:
        found.append(f"general.architecture is {stated.architecture!r}, should be {wanted.architecture!r}")
    for key in sorted({*wanted.values, *stated.values} & {*KNOWN_KEYS, "block_count", "attention.key_length_mla"}):
        here, there = stated.values.get(key), wanted.values.get(key)
        if not _alike(here, there, key):
            found.append(f"{wanted.architecture}.{key} is {_said(here)}, should be {_said(there)}")
    for name in sorted({*stated.divisors, *wanted.divisors}):
        if not _alike(stated.divisors.get(name), wanted.divisors.get(name), name):
            found.append(f"tensor {name} differs, or stands in one of the two alone")
    return found


# What a key says where it is not there.
_ABSENT: Final[dict[str, Any]] = {
    "rope.freq_base": 10_000.0,
    "rope.scaling.attn_factor": 1.0,
    "rope.scaling.yarn_beta_fast": 32.0,
    "rope.scaling.yarn_beta_slow": 1.0,
    "rope.scaling.yarn_attn_factor": 1.0,
    "rope.scaling.type": "none",
    "rope.scaling.finetuned": True,
}


def _alike(here: Any, there: Any, key: str) -> bool:
    here, there = (_ABSENT.get(key) if value is None else value for value in (here, there))
    if here is None or there is None or isinstance(here, str) or isinstance(there, str):
        return bool(here == there) or (there is None and key not in _MUST_AGREE)
    one, other = np.ravel(np.asarray(here, np.float64)), np.ravel(np.asarray(there, np.float64))
    # float32 in the file, and roundings of the converter's own on the way.
    return one.shape == other.shape and bool(np.all(np.abs(one - other) <= 8 * 2.0**-24 * np.abs(other)))


_MUST_AGREE: Final = frozenset({"rope.scaling.factor", "rope.scaling.alpha", "rope_freqs"})


def _said(value: Any) -> str:
    return (
        "missing" if value is None else "not stated" if isinstance(value, float) and math.isnan(value) else repr(value)
    )
