"""What of Tightrope works on this machine, what does not, and what to do about each."""

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Final, Literal

from tightrope import backends
from tightrope.backends.kernels import STALE, is_stale
from tightrope.rope.errors import BackendUnavailable
from tightrope.rope.support.extras import install_command, reinstall_command

State = Literal["ok", "missing", "problem"]

# Extras for those who work on Tightrope itself.
_INSIDE: Final = {"test", "dev", "docs", "all"}
_KERNEL: Final = "tightrope.backends.kernels._cpu"
_SWITCHES: Final = ("TIGHTROPE_CPU_KERNEL", "TIGHTROPE_GPU_KERNEL")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: What it belongs to.
        subject: Its name.
        state: `"ok"`, `"missing"` for something optional that is not there, `"problem"` for something that is wrong.
        words: What was found.
        remedy: What to do, empty where nothing is to be done.
    """

    topic: Literal["system", "packages", "backends", "kernel"]
    subject: str
    state: State
    words: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Return everything that can be said of this machine; imports the frameworks that are installed."""
    return [*_system(), *_packages(), *_backends(), kernel_check(), *_switches()]


def healthy(checks: list[Finding]) -> bool:
    """Return whether nothing is wrong and a backend works."""
    working = any(one.topic == "backends" and one.state == "ok" for one in checks)
    return working and all(one.state != "problem" for one in checks)


def to_dict(checks: list[Finding]) -> dict[str, Any]:
    """Return the findings as JSON holds them."""
    return {"healthy": healthy(checks), "checks": [asdict(one) for one in checks]}


def _system() -> Iterator[Finding]:
    import tightrope

    yield Finding("system", "Python", "ok", f"{platform.python_version()}, {sys.executable}")
    yield machine_check(platform.system(), platform.machine())
    yield Finding("system", "tightrope", "ok", f"{tightrope.__version__}, {Path(tightrope.__file__).parent}")


def machine_check(system: str, processor: str) -> Finding:
    """Return what this Python was built for."""
    words = f"{system}, {processor}"
    if (system, processor) == ("Darwin", "x86_64"):
        words += ": a Python for Intel processors, for which there is no MLX"
        return Finding("system", "machine", "problem", words, "on Apple silicon install a Python for arm64")
    return Finding("system", "machine", "ok", words)


def _packages() -> Iterator[Finding]:
    try:
        lines = metadata.requires("tightrope") or []
    except metadata.PackageNotFoundError:
        words = "not installed: it runs from a folder, so the ranges of its packages are not known"
        yield Finding("packages", "tightrope", "missing", words, "in the checkout: python -m pip install .")
        return
    found: dict[str, Requirement] = {}
    for line in lines:
        if (need := requirement(line)) is not None:
            found.setdefault(need.package, need)  # a package of several platforms or extras is named once
    yield from map(package_check, found.values())


@dataclass(frozen=True)
class Requirement:
    """A package, the oldest version that works, and the extra that installs it (`""`: always)."""

    package: str
    oldest: tuple[int, ...]
    extra: str


def requirement(line: str) -> Requirement | None:
    """Return what a line of the installed metadata asks for; None where it concerns only those who work on Tightrope.

    Args:
        line: Such as `'mlx[cpu]>=0.32; sys_platform == "linux" and extra == "mlx"'`.
    """
    asked, _, marker = line.partition(";")
    name = re.match(r"[\w.-]+", asked.strip())
    extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
    if name is None or name[0] == "tightrope" or (extra is not None and extra[1] in _INSIDE):
        return None
    oldest = re.search(r">=([\d.]+)", asked)
    return Requirement(name[0], _numbers(oldest[1]) if oldest else (), extra[1] if extra else "")


def package_check(need: Requirement, version: Callable[[str], str] = metadata.version) -> Finding:
    """Return whether a package is there and young enough.

    Args:
        need: The package.
        version: From the name of a package to its version.
    """
    try:
        found = version(need.package)
    except metadata.PackageNotFoundError:
        state: State = "missing" if need.extra else "problem"
        return Finding("packages", need.package, state, "not installed", install_command(need.package))
    if _numbers(found)[: len(need.oldest)] < need.oldest:
        oldest = ".".join(map(str, need.oldest))
        words = f"{found}, needs {oldest} or newer"
        return Finding("packages", need.package, "problem", words, install_command(need.package, upgrade=True))
    return Finding("packages", need.package, "ok", found)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (2, 13, 0) of `"2.13.0+cu130"`."""
    plain = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, plain[0].split("."))) if plain else ()


def _backends() -> Iterator[Finding]:
    for name in backends.names():
        try:
            backend = backends.load(name)
        except BackendUnavailable as error:
            state: State = "problem" if name in backends.available() else "missing"
            words, _, remedy = str(error).partition("; ")
            yield Finding("backends", name, state, words.removeprefix(f"backend {name!r} "), remedy.partition(". ")[0])
            continue
        devices = backend.devices()
        for device in devices:
            words = f"{name} {backend.version}, rotates with {backend.path(device)}"
            yield Finding("backends", f"{name}:{device}", "ok", words)
        yield from unused_gpu(name, devices)


def unused_gpu(
    name: str, devices: Sequence[str], find: Callable[[str], str | None] = shutil.which
) -> Iterator[Finding]:
    """Yield a finding where this machine has an NVIDIA driver and a backend sees the CPU alone.

    Args:
        name: The backend.
        devices: What it sees.
        find: From the name of a program to its path.
    """
    if find("nvidia-smi") and all(device.startswith("cpu") for device in devices):
        words = "sees no GPU, though there is an NVIDIA driver (nvidia-smi): probably a build for the CPU"
        yield Finding("backends", f"{name}:gpu", "missing", words, backends.ENTRIES[name].gpu_build)


def kernel_check(
    load: Callable[[str], Any] = import_module, find: Callable[[str], str | None] = shutil.which
) -> Finding:
    """Return whether the C kernel for the CPU was built, and what keeps it from being used.

    Args:
        load: From the name of a module to the module.
        find: From the name of a program to its path.
    """
    subject, again = "C kernel", reinstall_command()
    try:
        extension = load(_KERNEL)
    except ModuleNotFoundError:
        compiler = next(filter(find, ("cc", "gcc", "clang")), None)
        why = f"there is a compiler now ({compiler})" if compiler else "there is no C compiler (cc, gcc, clang)"
        words = f"not built at installation; framework operations rotate on the CPU instead. {why}"
        return Finding("kernel", subject, "missing", words, again if compiler else f"install one, then {again}")
    except ImportError as error:
        return Finding("kernel", subject, "problem", f"built, but does not load: {error}", again)
    if is_stale(extension):
        return Finding("kernel", subject, "problem", f"not used: {STALE}; framework operations rotate", again)
    variants: tuple[str, ...] = extension.variants
    if not variants:
        words = "built, but this processor has no fused multiply-add (AVX2 or NEON); framework operations rotate"
        return Finding("kernel", subject, "missing", words)
    return Finding("kernel", subject, "ok", f"built; runs here as {', '.join(variants)}, the first is used")


def _switches() -> Iterator[Finding]:
    for name in _SWITCHES:
        if name in os.environ:
            words = f"set to {os.environ[name]!r}: it decides which kernel is used"
            yield Finding("kernel", name, "ok", words, f"unset {name} to leave the choice to Tightrope")
