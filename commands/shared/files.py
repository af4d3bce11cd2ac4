"""Checks of the output files before the work: none is an input, none is named twice, all can be written."""

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from tightrope.rope.reading.source import Loaded
from tightrope.rope.reading.validate import files_of
from tightrope.rope.support.files import why


def check_outputs(ctx: click.Context) -> bool:
    """Return whether a file goes to standard output; at once, for what goes there may take minutes to find.

    Raises:
        click.UsageError: Two outputs are one file, or an output is an input. `convert -o` may be its own input.
        click.FileError: A folder is not there, or cannot be written.
    """
    outputs = _outputs(ctx)
    taken = [option for option, path in outputs.items() if path == "-"]
    if len(taken) > 1:
        raise click.UsageError(f"only one of {', '.join(taken)} can be standard output")
    named = {option: Path(path) for option, path in outputs.items() if path != "-"}
    _refuse_twice(named)
    for option, path in named.items():
        _refuse_input(ctx, option, path)
        _require_writable(path)
    return bool(taken)


def _outputs(ctx: click.Context) -> dict[str, str]:
    """Return the files that are to be written, by the option that says so."""
    paths = {
        one.opts[-1]: ctx.params[str(one.name)]
        for one in ctx.command.params
        if isinstance(one, click.Option) and isinstance(one.type, click.Path) and not one.type.exists
    }
    return {option: path for option, path in paths.items() if path is not None}


def _inputs(ctx: click.Context, option: str) -> Iterator[Path]:
    """Yield the files that are read and that an option may not name: of a folder those that `read` takes."""
    # A config.json may be written anew in its own place.
    own = (ctx.command.name, option) == ("convert", "--output") and ctx.params["spelling"] != "gguf-metadata"
    for one in ctx.command.params:
        value = ctx.params.get(str(one.name))
        # A path that must exist is read.
        read = isinstance(one.type, click.Path) and one.type.exists
        if (isinstance(one, click.Argument) and not own) or read or str(one.name) == "compared":
            for source in value if isinstance(value, tuple) else (value,):
                yield from () if source is None or isinstance(source, Loaded) else files_of(source)


def _refuse_twice(named: Mapping[str, Path]) -> None:
    options = list(named)
    for index, first in enumerate(options):
        for second in options[index + 1 :]:
            if _same(named[first], named[second]):
                raise click.UsageError(f"{first} and {second} are one file: {named[second]}")


def _refuse_input(ctx: click.Context, option: str, path: Path) -> None:
    if any(_same(path, read) for read in _inputs(ctx, option)):
        raise click.UsageError(f"{option} would overwrite an input: {path}; name another file")


def _same(first: Path, second: Path) -> bool:
    """Return whether two paths lead to one regular file, by inode where there is one; a device may be written twice."""
    try:
        if first.exists() and second.exists():
            return first.is_file() and first.samefile(second)
        return first.resolve() == second.resolve()
    except (OSError, ValueError, RuntimeError):  # a NUL character in a name, a circle of links
        return False


def _require_writable(path: Path) -> None:
    try:
        target = path.resolve()
        folder, there = target.parent, target.exists()
        problem = 0 if folder.is_dir() else errno.ENOENT
        # A file is replaced by way of its folder; a device or a pipe is written as it is.
        if not problem and not os.access(target if there and not target.is_file() else folder, os.W_OK):
            problem = errno.EACCES
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: a circle of links
        raise click.FileError(str(path), why(error)) from error
    if problem:
        raise click.FileError(str(path), os.strerror(problem))
