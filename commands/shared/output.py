"""What every command says: to a person in the console, to a machine with --json, to neither with --quiet."""

import codecs
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from tightrope.commands.shared.files import check_outputs
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.support.extras import import_extra
from tightrope.rope.support.files import why, write_atomically
from tightrope.rope.support.json_values import json_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.progress import Progress

    from tightrope.viewing.terminal.console import Screen

_Item = TypeVar("_Item")

QUIET = "Print errors only; files are still written."
JSON = "Write the findings to FILE as JSON (-: print them)."

SCHEMA = 1
"""Version of what --json writes; it grows where a field changes its meaning or goes."""


@dataclass(frozen=True)
class Output:
    """Where a command's words and files go.

    Attributes:
        command: Its words: `"golden check"`.
        quiet: Say nothing but errors.
        json_file: Where the findings go as JSON; `"-"` is standard output.
        stdout_taken: A file goes to standard output: words go to standard error.
    """

    command: str
    quiet: bool
    json_file: str | None
    stdout_taken: bool

    @cached_property
    def console(self) -> "Screen":
        """Where a person reads; what goes into a file or a pipe is not cut to a terminal's width."""
        return _console(stderr=self.stdout_taken, quiet=self.quiet)

    def track(self, items: Sequence[_Item], doing: str) -> Iterator[_Item]:
        """Yield the items, and show a person how far we are."""
        progress = self._progress()
        # What the caller's loop raises leaves this generator open, and the bar would wipe the message away.
        click.get_current_context().call_on_close(progress.stop)
        with progress:
            yield from progress.track(items, description=doing)

    @contextmanager
    def busy(self, doing: str) -> Iterator[Callable[[str], None]]:
        """Show a person that something without steps goes on; yields a function that says what it is at now."""
        with self._progress() as progress:
            task = progress.add_task(doing, total=None)
            yield lambda words: progress.update(task, description=words)

    def _progress(self) -> "Progress":
        from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

        screen = self.console if self.console.is_terminal else _console(stderr=True, quiet=self.quiet)
        words = TextColumn("{task.description}")
        columns = (SpinnerColumn(), words, BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        return Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)

    def write_json(self, results: Sequence[Any]) -> None:
        """Write the findings where --json says, in the form that docs/json.md describes."""
        if self.json_file:
            write_json_file(self.json_file, {"schema": SCHEMA, "command": self.command, "results": list(results)})
            self.written(self.json_file)

    def written(self, path: str, more: str = "") -> None:
        """Say that a file is there; of standard output nothing."""
        if path != "-":
            self.console.say(f"{path}: written{more}")

    def draw(self, draw: Callable[[], "Figure"], path: str) -> None:
        """Write a picture, in the format that its name ends in."""
        from tightrope import viewing

        with self.busy("drawing"), file_errors(path):
            viewing.save(draw(), path)
        self.written(path)

    def finish(self, *, passed: bool, failure: str) -> NoReturn:
        """End the command: with status 0, or with 1 and, where nothing else was said, the failure in one line."""
        if self.quiet and not passed:
            raise click.ClickException(failure)
        click.get_current_context().exit(0 if passed else 1)


def file_option(**more: Any) -> Callable[..., Any]:
    """Return -o FILE: `path`."""
    return click.option("-o", "--output", "path", type=click.Path(dir_okay=False), metavar="FILE", **more)


def plot_option(words: str) -> Callable[..., Any]:
    """Return --plot FILE: `picture`."""
    return click.option(
        "--plot", "picture", type=click.Path(dir_okay=False), metavar="FILE", callback=_picture, help=words
    )


def _picture(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Refuse a name that no picture can have, or miss matplotlib, at once: measuring may take minutes."""
    from tightrope import viewing

    if value is not None:
        try:
            viewing.format_of(value)
        except RopeConfigError as error:
            raise click.BadParameter(str(error)) from error
        import_extra("matplotlib", purpose="pictures")
    return value


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --json and --quiet to a command, which gets both as `out`, an `Output`."""

    @click.option("--json", "json_file", type=click.Path(dir_okay=False), metavar="FILE", help=JSON)
    @click.option("-q", "--quiet", is_flag=True, help=QUIET)
    @wraps(command)
    def with_output(*args: Any, json_file: str | None, quiet: bool, **options: Any) -> Any:
        ctx = click.get_current_context()
        taken = check_outputs(ctx)
        words = ctx.command_path.split(" ", 1)[-1]
        return command(*args, out=Output(words, quiet, json_file, taken), **options)

    return with_output


def _console(*, stderr: bool, quiet: bool) -> "Screen":
    from tightrope.viewing.terminal.console import Screen

    return Screen(stderr=stderr, quiet=quiet)


def write(path: str, content: bytes) -> None:
    """Write a file whole or not at all; `-` is standard output."""
    if path == "-":
        click.echo(content, nl=False)
        return
    with file_errors(path):
        write_atomically(Path(path), content)


@contextmanager
def file_errors(path: str) -> Iterator[None]:
    """Make a file that cannot be written one line and exit status 1."""
    try:
        yield
    except OSError as error:
        raise click.FileError(path, why(error)) from error


def write_json_file(path: str, value: Any) -> None:
    """Write a value as JSON; where standard output is not in UTF-8, with an escape for every letter beyond ASCII."""
    in_utf8 = path != "-" or codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"
    write(path, as_json(value, ascii_only=not in_utf8))


def as_json(value: Any, *, ascii_only: bool = False) -> bytes:
    """Return value as indented JSON, with a line feed at its end; an infinity is null.

    Characters that act on a terminal are escaped, as are halves of surrogate pairs: bytes of a file's name that are no
    UTF-8. To whoever parses it these are the same strings.
    """
    text = json.dumps(json_values(value), indent=2, ensure_ascii=ascii_only, allow_nan=False)
    acting = [character for character in set(text) if not (character.isprintable() or character == "\n")]
    return text.translate({ord(character): json.dumps(character)[1:-1] for character in acting}).encode() + b"\n"
