"""llama.cpp's own rotation, for the audit: its graph executed on virtual weights, its rope nodes compared."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope import reference
from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.reading.gguf.architectures import ARCHITECTURES
from tightrope.rope.reading.gguf.file import GgufFile
from tightrope.rope.reading.gguf.writing.metadata import architecture_of, metadata_of
from tightrope.verify.audit.peers import Built, PeerLacks, PeerRefuses, PeerUnusable
from tightrope.verify.llama_cpp import Refusal
from tightrope.verify.llama_cpp.rotation import Rotations

# Of float32 weights that a narrow model is filled with.
MOST_BYTES: Final = 2**31
_HEADS: Final = 2


class BuiltLlamaCpp(Built):
    """See `tightrope.verify.audit.peers.Built`."""

    multiplies = True

    def __init__(self, executed: Rotations, model: ModelRope, context: int, *, permuted: bool) -> None:
        self.executed, self.model, self.permuted = executed, model, permuted
        self.settings = f"context {context:,}"
        self._found: dict[tuple[bytes, int], dict[int, NDArray[np.float32]]] = {}

    @property
    def softmax_scale(self) -> float | None:
        """The factor on the logits of latent attention."""
        return self.executed.softmax_scale()

    def rotate(self, layer: int, x: NDArray[np.float32], offset: int) -> NDArray[np.float32]:
        """See `tightrope.verify.audit.peers.Built.rotate`; of the layers with this rope, the first that differs."""
        key = self.model.layers[layer]
        found = self._rotated(x, offset)
        results = [found.get(index, x) for index, name in enumerate(self.model.layers) if name == key]
        return next((one for one in results if not np.array_equal(one, results[0])), results[0])

    def _rotated(self, x: NDArray[np.float32], offset: int) -> dict[int, NDArray[np.float32]]:
        """Return what each layer makes of x, (1, heads, seq, width)."""
        place = (x.tobytes(), offset)
        if place not in self._found:
            tokens = self._to_file(x[0])
            heads, seq, width = tokens.shape
            padded = np.zeros((heads + heads % _HEADS, seq, width), np.float32)
            padded[:heads] = tokens
            # Heads beyond those of the narrow model become further tokens at the same positions.
            pairs = padded.reshape(-1, _HEADS, seq, width).transpose(0, 2, 1, 3).reshape(-1, _HEADS, width)
            positions = np.tile(np.arange(offset, offset + seq), len(padded) // _HEADS)
            try:
                rotated = self.executed.rotated(pairs, positions)
            except Refusal as error:
                raise PeerRefuses(str(error)) from error
            self._found[place] = {
                index: self._from_file(_as_heads(arrays, seq, heads))[None] for index, arrays in rotated.items()
            }
        return self._found[place]

    def _to_file(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._moved(x, "half", "interleaved")

    def _from_file(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._moved(x, "interleaved", "half")

    def _moved(self, x: NDArray[np.float32], old: Any, new: Any) -> NDArray[np.float32]:
        """Return x with its pairs where the other layout has them, as the converter reorders weights."""
        if not self.permuted:
            return x
        rope = next(iter(self.model.ropes.values()))
        moved = x.copy()
        for source, target in zip(
            reference.pair_slices(x.shape[-1], rope.pairs, old, rope.side),
            reference.pair_slices(x.shape[-1], rope.pairs, new, rope.side),
            strict=True,
        ):
            moved[..., target] = x[..., source]
        return moved

    def mends(self) -> str:
        """See `tightrope.verify.audit.peers.Built.mends`."""
        return "llama.cpp rotates in its own kernels"


def _as_heads(arrays: list[NDArray[np.float32]], seq: int, heads: int) -> NDArray[np.float32]:
    """Return (heads, seq, width) of q, which has as many heads as were given."""
    y = next((one for one in arrays if one.shape[1] == _HEADS), arrays[0])
    return y.reshape(-1, seq, y.shape[1], y.shape[2]).transpose(0, 2, 1, 3).reshape(-1, seq, y.shape[2])[:heads]


def build(config: Mapping[str, Any], model: ModelRope, context: int | None = None) -> BuiltLlamaCpp:
    """See `tightrope.verify.audit.peers.Peer.build`: of the header that llama.cpp's converter should write."""
    if architecture_of(model.model_type) is None:
        raise PeerLacks(f"it has no architecture for model_type {model.model_type!r}")
    try:
        file = metadata_of(config, model)
    except RopeConfigError as error:
        raise PeerRefuses(str(error)) from error
    built = build_file(file, model, context)
    built.settings += f", the {file.architecture} header that convert --to gguf-metadata prints"
    return built


def build_file(file: GgufFile, model: ModelRope, context: int | None = None) -> BuiltLlamaCpp:
    """Return llama.cpp's rotation of a GGUF file's model, from its header."""
    width = max(rope.head_dim for rope in model.ropes.values())
    needed = len(model.layers) * 5 * (_HEADS * width) ** 2 * 4
    if needed > MOST_BYTES:
        raise PeerRefuses(
            f"{len(model.layers):,} layers of heads of {width} channels need {needed / 2**30:.1f} GiB of virtual "
            f"weights; the limit is {MOST_BYTES / 2**30:.0f} GiB"
        )
    length = context or max(rope.max_position_embeddings or 0 for rope in model.ropes.values()) or 4096
    row = ARCHITECTURES.get(file.architecture)
    permuted = row is not None and row.permuted and next(iter(model.ropes.values())).layout == "half"
    try:
        return BuiltLlamaCpp(Rotations(file, model, length), model, length, permuted=permuted)
    except Refusal as error:
        raise (PeerRefuses if error.available else PeerUnusable)(str(error)) from error
