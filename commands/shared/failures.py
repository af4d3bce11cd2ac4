"""What goes wrong in a command: one line and an exit status, whatever it is that a user can meet."""

import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

import click

from tightrope.rope.errors import RopeError, RopeWarning, shortened
from tightrope.rope.support.files import why
from tightrope.rope.support.printable import printable

# As shells count: 128 and the number of the signal.
INTERRUPTED: Final = 128 + 2
READER_GONE: Final = 128 + 13

_START: Final = "Error: "  # as click writes before a message


@contextmanager
def exit_statuses(ctx: click.Context, *, traceback: bool) -> Iterator[None]:
    """End the program with the status of what happens within; `traceback` shows where an error is raised."""
    _accept_every_sign()
    try:
        with _warnings_in_a_line():
            yield
        _flush()
    except BrokenPipeError:
        _discard_output()
        ctx.exit(READER_GONE)
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        ctx.exit(INTERRUPTED)
    except click.ClickException as error:
        words = _escaped(error.format_message())
        vars(error)["format_message"] = lambda: words
        raise
    except RopeError as error:
        if traceback:
            raise
        raise click.ClickException(_escaped(str(error))) from error
    except OSError as error:
        if traceback:
            raise
        _discard_output()
        where = error.filename or "standard output"
        raise click.ClickException(_escaped(f"{where}: {why(error)}")) from error


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Print Tightrope's warnings as errors are printed, each once, without the place in its code that warns."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int,
            file: TextIO | None = None, line: str | None = None,
        ) -> None:  # fmt: skip
            if issubclass(category, RopeWarning):
                click.echo(f"Warning: {_escaped(str(message))}", err=True)
            else:
                shown(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        warnings.simplefilter("default", RopeWarning)
        yield


def in_a_line(error: Exception) -> str:
    """Return what ended the work on one file of many, for its line among the results: the others go on."""
    words = shortened(" ".join(str(error).split()), 200, plain=True)
    return words if isinstance(error, RopeError) else f"{type(error).__name__}: {words}"


def of_file(path: str, error: Exception) -> str:
    """Return what ended the work on one file of many, with its path."""
    return f"{'' if path in str(error) else f'{path}: '}{in_a_line(error)}"


def _escaped(message: str) -> str:
    """Return a message with nothing in it that acts on a terminal, and there wrapped at words after its "Error: "."""
    lines = list(map(printable, message.split("\n")))
    if sys.stderr is not None and sys.stderr.isatty():
        from tightrope.viewing.terminal.console import wrapped  # rich is slow to import

        width = shutil.get_terminal_size().columns
        lines = [part for line in [_START + lines[0], *lines[1:]] for part in wrapped(line, width)]
        lines[0] = lines[0].removeprefix(_START)
    return "\n".join(lines)


def _accept_every_sign() -> None:
    """Make streams replace what their encoding lacks: a sign in a table is no reason to stop."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _flush() -> None:
    """Write what is buffered now, while a failure can still be reported; at exit Python would print a traceback."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _discard_output() -> None:
    """Let what is left in the buffer go nowhere: writing it at exit would fail again, with a traceback."""
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
