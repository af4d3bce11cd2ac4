"""Many configurations at once: which files a person means, and what is wrong with each."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from tightrope.rope.errors import RopeConfigError, RopeWarning
from tightrope.rope.reading.reader import read
from tightrope.rope.reading.source import FILE_NAMES, Loaded, kept


def find_sources(paths: Iterable[str]) -> Iterator[tuple[str, Path | Loaded]]:
    """Yield name and path of each configuration: a file, a folder with a config.json, or every *.json of a folder.

    What can be read but once, `-` for standard input or a pipe, is read here.

    Raises:
        RopeConfigError: A folder has none, or a pipe no JSON object.
    """
    for source in map(kept, paths):
        if isinstance(source, Loaded):
            yield source.name, source
            continue
        path = Path(source)
        if not path.is_dir() or any((path / name).is_file() for name in FILE_NAMES):
            yield (path.stem if path.suffix == ".json" and path.stem != "config" else str(path)), path
            continue
        found = sorted(file for file in path.glob("*.json") if file.is_file())
        if not found:
            raise RopeConfigError("no *.json in this folder", source=str(path))
        yield from ((file.stem, file) for file in found)


def problems(source: Path | Loaded, *, strict: bool = False) -> list[str]:
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
    return []
