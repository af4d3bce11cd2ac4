"""Many configurations at once: which files a person means, and what is wrong with each."""

import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from tightrope.rope.errors import RopeConfigError, RopeError, RopeWarning
from tightrope.rope.reading.reader import read
from tightrope.rope.reading.source import FILE_NAMES, Loaded, kept


def find_sources(sources: Iterable[str | Loaded]) -> Iterator[tuple[str, str | Loaded]]:
    """Yield name and source of each configuration: what `read` takes, or every *.json of a folder.

    What can be read but once, `-` for standard input or a pipe, is read here.

    Raises:
        RopeConfigError: A folder has none, or a pipe no JSON object.
    """
    for source in (kept(one) if isinstance(one, str) else one for one in sources):
        if isinstance(source, Loaded) or not _is_folder(source):
            path = Path(str(source))
            yield (path.stem if path.suffix == ".json" and path.stem != "config" else str(source)), source
            continue
        found = list(_files_in(source))
        if not found:
            raise RopeConfigError("no *.json in this folder", source=source)
        yield from ((file.stem, str(file)) for file in found)


def files_of(source: str) -> Iterator[Path]:
    """Yield the files that are read for a path: itself, and of a folder its configuration or every *.json."""
    path = Path(source)
    yield path
    yield from (path / name for name in FILE_NAMES)
    if _is_folder(source):
        yield from _files_in(source)


def _files_in(folder: str) -> Iterator[Path]:
    """Yield every *.json; a link that leads nowhere is a file that cannot be read, a folder or a pipe is none.

    Raises:
        RopeConfigError: The folder cannot be read.
    """
    try:
        files = sorted(Path(folder, name) for name in os.listdir(folder) if name.endswith(".json"))
    except OSError as error:
        raise RopeConfigError(f"cannot be read: {error.strerror}", source=folder) from error
    yield from (file for file in files if file.is_file() or (file.is_symlink() and not _exists(file)))


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, RuntimeError):  # a circle of links
        return False


def _is_folder(source: str) -> bool:
    """Return whether a path is a folder that has no configuration itself."""
    try:
        path = Path(source)
        return path.is_dir() and not any((path / name).is_file() for name in FILE_NAMES)
    except (OSError, ValueError):  # ValueError: a NUL character in the name
        return False


def problems(source: str | Path | Loaded, *, strict: bool = False) -> list[str]:
    """Return what is wrong with a configuration, each problem with its file: none where it can be read.

    Args:
        source: See `read`.
        strict: See `read`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RopeWarning)
        try:
            read(source, strict=strict)
        except RopeConfigError as error:
            return [f"{error.source or source}: {problem}" for problem in error.problems]
        except RopeError as error:
            return [f"{source}: {error}"]
    return []
