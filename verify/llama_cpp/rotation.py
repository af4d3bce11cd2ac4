"""What llama.cpp does in each layer of a model, from the model's header alone."""

import tempfile
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.reading.gguf.file import GgufFile
from tightrope.verify.llama_cpp.narrow import narrow_header
from tightrope.verify.llama_cpp.session import Node, Refusal, Session

# llama.cpp decides LongRoPE by its context: any beyond the original length is alike, and a cache of it costs memory.
_BEYOND: Final = 256
_LEAST_CONTEXT: Final = 512
_SIDES: Final = ("indexer", "index_")


class Rotations:
    """A model in llama.cpp: what it makes of vectors, layer by layer.

    Args:
        file: The header's content.
        model: What Tightrope reads in it, or in the config.json that it stands for.
        context: Context in tokens for which llama.cpp is set up.

    Raises:
        Refusal: llama.cpp does not run this model, or is not there.
    """

    def __init__(self, file: GgufFile, model: ModelRope, context: int) -> None:
        self.model = model
        self.axes = max((rope.axes for rope in model.ropes.values()), default=1)
        divisors = {name: np.array(values, np.float32) for name, values in file.divisors.items()}
        width = max((rope.head_dim for rope in model.ropes.values()), default=64)
        with tempfile.TemporaryDirectory() as folder:
            header = Path(folder, "narrow.gguf")
            header.write_bytes(narrow_header(file, width))
            self.session = Session(header, set_up_for(context, model), divisors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End llama.cpp's process."""
        self.session.close()

    def nodes(self, x: NDArray[np.float32], positions: NDArray[np.int64]) -> list[Node]:
        """Return what every operation did with x, (tokens, heads, width)."""
        return self.session.run(x, positions, 4 if self.axes > 1 else 1)

    def rotated(self, x: NDArray[np.float32], positions: NDArray[np.int64]) -> dict[int, list[NDArray[np.float32]]]:
        """Return, for each layer that rotates, what it makes of x: one array for each of q and k.

        Args:
            x: (tokens, heads, width), the channels that attention hands to the rope.
            positions: (tokens,).
        """
        found: dict[int, list[NDArray[np.float32]]] = {}
        for node in self.nodes(x, positions):
            if node.y is not None and not any(part in str(node.values["name"]) for part in _SIDES):
                found.setdefault(node.layer, []).append(node.y[..., -x.shape[-1] :])
        return found

    def softmax_scale(self) -> float | None:
        """Return what multiplies the logits of latent attention beyond 1 / sqrt(head_dim); None for other attention."""
        latent: list[RopeConfig] = [rope for rope in self.model.ropes.values() if rope.side == "tail"]
        if not latent:
            return None
        x = np.zeros((2, 1, latent[0].rotary_dim), np.float32)
        scales = [node.values["scale"] for node in self.nodes(x, np.arange(2)) if node.values["op"] in _ATTENTION]
        return float(scales[0] * latent[0].head_dim ** 0.5) if scales else None

    def temperatures(self, positions: NDArray[np.int64]) -> dict[int, list[float]]:
        """Return, for each layer that has one, the factor on the query at each position."""
        x = np.zeros((len(positions), 1, 1), np.float32)
        found: dict[int, Any] = {}
        for node in self.nodes(x, positions):
            if node.values["op"] == "MUL":
                found.setdefault(node.layer, node.values["temperature"])
        return found


_ATTENTION: Final = ("SOFT_MAX", "FLASH_ATTN_EXT")


def set_up_for(context: int, model: ModelRope) -> int:
    """Return the context that llama.cpp is given: small, and on the same side of LongRoPE's switch as the one meant."""
    switches = [rope.scaling.switch_length(rope) for rope in model.ropes.values()]
    beyond = [length for length in switches if length is not None and length < context]
    return max([_LEAST_CONTEXT, *(length + _BEYOND for length in beyond)])


__all__ = ["Refusal", "Rotations", "set_up_for"]
