"""The backends by name. Importing this module imports no framework; `load` does."""

from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Final, cast

from tightrope.backends.protocol import Backend
from tightrope.rope.errors import BackendUnavailable, RopeConfigError
from tightrope.rope.support.extras import install_command


@dataclass(frozen=True)
class BackendEntry:
    """What is known of a backend before its framework is imported.

    Attributes:
        module: Where it is.
        framework: The distribution that it needs.
        at_least: The oldest version of it that works.
        kinds: Every kind of device that the backend has code for, as device names begin.
        gpu_build: How to get a build of the framework that sees an NVIDIA GPU, in words.
    """

    module: str
    framework: str
    at_least: tuple[int, int]
    kinds: tuple[str, ...] = ("cpu",)
    gpu_build: str = ""


# A further backend is one more line.
ENTRIES: Final[dict[str, BackendEntry]] = {
    "torch": BackendEntry(
        "tightrope.backends.torch",
        "torch",
        (2, 8),  # the first that can keep an operator out of CUDA graphs
        kinds=("cuda", "mps", "cpu"),
        gpu_build="install a build of PyTorch with CUDA, see its web site",
    ),
    "mlx": BackendEntry(
        "tightrope.backends.mlx",
        "mlx",
        (0, 32),
        kinds=("gpu", "cpu"),
        gpu_build='python -m pip uninstall mlx mlx-cpu, then python -m pip install "mlx[cuda13]>=0.32"',
    ),
}


def names() -> tuple[str, ...]:
    """Return the names of all backends, installed or not."""
    return tuple(ENTRIES)


def available() -> tuple[str, ...]:
    """Return the names of the backends whose framework is installed, without importing any."""
    return tuple(name for name, entry in ENTRIES.items() if _installed(entry.framework))


def load(name: str) -> Backend:
    """Import a backend.

    Raises:
        RopeConfigError: There is no backend of that name.
        BackendUnavailable: Its framework is not installed, is too old, or fails to import; says what to do.
    """
    entry = ENTRIES.get(name) if isinstance(name, str) else None
    if entry is None:
        raise RopeConfigError(f"backend must be one of {', '.join(map(repr, ENTRIES))}, got {name!r}")
    installed = _installed(entry.framework)
    if installed is None:
        raise BackendUnavailable(
            f"backend {name!r} is not installed; {install_command(entry.framework)}. Available: {_available()}"
        )
    _require_version(name, entry, installed)
    try:
        return cast(Backend, import_module(entry.module))
    except (ImportError, OSError, RuntimeError) as error:  # a broken binary shows as any of these
        raise BackendUnavailable(f"backend {name!r} is installed but failed to import: {error}") from error


def _require_version(name: str, entry: BackendEntry, installed: str) -> None:
    # "2.13.0+cu130", "0.32.4.dev1": the first two numbers decide.
    found = tuple(int("".join(filter(str.isdigit, part)) or 0) for part in installed.split(".")[:2])
    if found < entry.at_least:
        oldest = ".".join(map(str, entry.at_least))
        raise BackendUnavailable(
            f"backend {name!r} needs {entry.framework} >= {oldest}, got {installed}; "
            + install_command(entry.framework, upgrade=True)
        )


def _installed(framework: str) -> str | None:
    """Return the version; None also where an uninstallation has left a folder that could be imported."""
    try:
        return metadata.version(framework)
    except metadata.PackageNotFoundError:
        return None


def _available() -> str:
    return ", ".join(available()) or "none"
