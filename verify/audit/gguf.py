"""A GGUF file in an audit: llama.cpp against the file, and the file against the config.json beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import frequencies
from tightrope.rope.reading import read
from tightrope.rope.reading.gguf.file import GgufFile, open_file
from tightrope.verify.audit.peers import Built, PeerLacks
from tightrope.verify.audit.report import PeerAudit

# float32 in the file: of the base, of a factor or of a divisor, and of a blend of two of them.
_ROUNDING: Final = 16 * 2.0**-24
_LENGTHS: Final = (1, 10_000_000)
_CONFIG: Final = "config.json"


@dataclass(frozen=True)
class FilePeer:
    """A peer that is asked for a GGUF file in place of a configuration."""

    peer: Any
    file: GgufFile

    def build(self, config: Mapping[str, Any], model: ModelRope, context: int | None = None) -> Built:
        """See `tightrope.verify.audit.peers.Peer.build`."""
        build_file = getattr(self.peer, "build_file", None)
        if build_file is None:
            raise PeerLacks("it is audited by a config.json, not by a GGUF file")
        built: Built = build_file(self.file, model, context)
        return built


def contents(path: Path) -> tuple[GgufFile, ModelRope]:
    """Return the header of a file, and what it says."""
    return open_file(path), read(path)


def beside(path: Path, model: ModelRope) -> PeerAudit | None:
    """Return how the config.json beside a GGUF file compares with it; None where there is none that rotates."""
    config = path.with_name(_CONFIG)
    if not config.is_file():
        return None
    try:
        other = read(config)
    except RopeConfigError as error:
        words = " ".join(str(error).split())
        return PeerAudit(_CONFIG, "refuses", f"the config.json beside the file cannot be read: {words}", mends=words)
    found = statements_differ(model, other)
    if not found:
        return PeerAudit(_CONFIG, "agrees", "the file and the config.json beside it state the same rotation")
    verdict = f"the config.json beside the file states another rotation: {'; '.join(found)}"
    return PeerAudit(_CONFIG, "wrong", verdict, causes=("the file differs",), mends="convert the model again")


def statements_differ(file: ModelRope, config: ModelRope) -> list[str]:
    """Return, in words, in what two statements of one model's rotation differ; how weights pair is the file's own."""
    if len(file.layers) != len(config.layers):
        return [f"{len(config.layers)} layers (file: {len(file.layers)})"]
    found = []
    for layer in range(len(file.layers)):
        ours, theirs = file.for_layer(layer), config.for_layer(layer)
        if ours is None or theirs is None:
            words = "" if ours is theirs else f"{_rotates(theirs)} (file: {_rotates(ours)})"
        else:
            words = _difference(ours, theirs)
        if words:
            found.append((words, layer))
    counts = {words: [layer for other, layer in found if other == words] for words, _ in found}
    softmax = abs(file.softmax_scale / config.softmax_scale - 1) > _ROUNDING
    scale = [f"logits scaled by {config.softmax_scale:.6g} (file: {file.softmax_scale:.6g})"] if softmax else []
    return [f"{words} in {len(layers)} layers, first {layers[0]}" for words, layers in counts.items()] + scale


def _rotates(rope: RopeConfig | None) -> str:
    return "no position" if rope is None else "a rotation"


def _difference(ours: RopeConfig, theirs: RopeConfig) -> str:
    if ours.rotary_dim != theirs.rotary_dim:
        return f"{theirs.rotary_dim} rotated channels (file: {ours.rotary_dim})"
    for length in _LENGTHS:
        one, other = frequencies(ours, length), frequencies(theirs, length)
        apart = np.abs(one.inv_freq - other.inv_freq) / np.maximum(np.abs(other.inv_freq), np.finfo(np.float64).tiny)
        still = np.maximum(np.abs(one.inv_freq), np.abs(other.inv_freq)) < np.finfo(np.float32).tiny
        worst = float(np.where(still, 0, apart).max())
        # A float32 base is rounded once and raised to a power below one; a blend of YaRN multiplies no error.
        if worst > _ROUNDING:
            return f"a frequency that is {worst:.3g} off ({_words(theirs)}; file: {_words(ours)})"
        if abs(one.attention_factor / other.attention_factor - 1) > _ROUNDING:
            return f"attention factor {other.attention_factor:.6g} (file: {one.attention_factor:.6g})"
    return ""


def _words(rope: RopeConfig) -> str:
    return f"base {rope.base:,.9g}, {rope.scaling.rope_type}"
