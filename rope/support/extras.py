"""Packages that not every installation has: imported when needed, missed with the command that installs them."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tightrope.rope.errors import ExtraMissing

_OWN: Final = "tightrope"
_INSTALL: Final = "python -m pip install"


def import_extra(module: str, *, purpose: str) -> ModuleType:
    """Import and return a module.

    Args:
        module: Its name; the package is the part before the first dot.
        purpose: What it is needed for: `"pictures"`.

    Raises:
        ExtraMissing: It is not installed, or fails to import.
    """
    try:
        return import_module(module)
    except (ImportError, OSError, RuntimeError) as error:  # a broken binary shows as any of these
        package = module.partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package:
            raise ExtraMissing(f"{purpose} need {package}; {install_command(package)}") from error
        raise ExtraMissing(f"{purpose} need {package}, which is installed but fails to import: {error}") from error


def install_command(package: str, *, upgrade: bool = False) -> str:
    """Return the command that installs a package: `python -m pip install "plotly>=6.0"`.

    Args:
        package: The name of its distribution.
        upgrade: An older version is installed.
    """
    return " ".join([_INSTALL, *(["--upgrade"] if upgrade else []), *(f'"{one}"' for one in needed(package))])


def needed(package: str) -> list[str]:
    """Return a package with the range of Tightrope's metadata, after what its extra needs beside it and is missing.

    The bare name where the metadata does not have it. mlx-lm and transformers bring no framework on every platform:
    their extras name it.
    """
    lines = _declared()
    wanted = _normal(package)
    extra = next((line.extra for line in lines if line.package == wanted), None)
    if extra is None:
        return [package]
    return [line.asked for line in _of_extra(lines, extra) if line.package == wanted or not _installed(line.package)]


def source_folder() -> str:
    """Return the folder that Tightrope was installed from, "the checkout" where that is not known."""
    return str(_direct_url().get("folder", "the checkout"))


def reinstall_command() -> str:
    """Return the command that builds and installs Tightrope again, from where it was installed."""
    # --no-cache-dir: pip can keep a wheel that it built without a compiler, and would take that one again.
    again = f"{_INSTALL} --no-cache-dir --force-reinstall --no-deps"
    story = _direct_url()
    if not story:
        return f"in the checkout: {again} ."
    return f"{again} {'-e ' if story['editable'] else ''}{shlex.quote(story['folder'])}"


@dataclass(frozen=True)
class _Line:
    """A line of the metadata: the package, what is asked of pip, and the extra (`""`: always)."""

    package: str
    asked: str
    extra: str


def _declared() -> list[_Line]:
    """Return what the metadata of the installation asks for on this platform; nothing where it is not installed."""
    try:
        texts = metadata.requires(_OWN) or []
    except metadata.PackageNotFoundError:
        return []
    return [line for line in map(_parsed, texts) if line is not None]


def _parsed(text: str) -> _Line | None:
    asked, _, marker = text.partition(";")
    name = re.match(r"[\w.-]+", asked.strip())
    platform = re.search(r"sys_platform == ['\"](\w+)['\"]", marker)
    if name is None or (platform is not None and platform[1] != sys.platform):
        return None
    extra = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
    return _Line(_normal(name[0]), asked.strip(), extra[1] if extra else "")


def _of_extra(lines: list[_Line], extra: str) -> Iterator[_Line]:
    """Yield what an extra installs, with that of the extras that it names."""
    for line in lines:
        if line.extra != extra:
            continue
        if line.package != _OWN:
            yield line
            continue
        for other in re.findall(r"[\w-]+", line.asked.partition("[")[2]):
            yield from _of_extra(lines, other)


def _normal(name: str) -> str:
    """Return a name as package indexes compare it: `huggingface-hub` of `huggingface_hub`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _direct_url() -> dict[str, Any]:
    """Return folder and editable of the installation (direct_url.json of PEP 610); empty where it has no folder."""
    try:
        story = json.loads(metadata.distribution(_OWN).read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return {}
    address = urlsplit(story.get("url", ""))
    if address.scheme != "file" or "dir_info" not in story:
        return {}
    return {"folder": url2pathname(address.path), "editable": bool(story["dir_info"].get("editable"))}
