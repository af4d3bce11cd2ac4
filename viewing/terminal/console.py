"""Where a person reads: lines wrapped at words, tables in one style, stacked where they are wider than the terminal."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tightrope.rope.support.printable import printable

if TYPE_CHECKING:
    from typing import NoReturn

_GAP: Final = "  "
_INDENT: Final = "  "
# A pipe has no width: nothing is cut, wrapped or stacked there.
_UNBOUNDED: Final = 1_000_000


class Screen(Console):
    """A console that shows text as it is: no markup, no emoji, and no character of it acts on the terminal."""

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        # No emoji: a device of the name torch:x:0 is not a picture.
        super().__init__(stderr=stderr, quiet=quiet, highlight=False, markup=False, emoji=False, soft_wrap=True)
        if not self.is_terminal:
            self.width = _UNBOUNDED

    def on_broken_pipe(self) -> "NoReturn":
        """Let the command line give it its exit status."""
        raise  # rich calls this while it handles the BrokenPipeError

    def say(self, text: str = "", style: str = "") -> None:
        """Print one line, wrapped at words and indented where the terminal is narrower; words stay whole."""
        for part in wrapped(printable(text), self.width):
            self.print(Text(part, style))

    def say_all(self, *texts: str, style: str = "") -> None:
        """Print several."""
        for text in texts:
            self.say(text, style)


def wrapped(text: str, width: int) -> list[str]:
    """Return a line as lines of at most so many cells; what continues it is indented two further than it is."""
    if cell_len(text) <= width:
        return [text]
    indent = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(
        text.strip(), max(width, 20), initial_indent=indent, subsequent_indent=indent + _INDENT,
        break_long_words=False, break_on_hyphens=False,
    ) or [""]  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A cell of a table with a colour; its text says the same without."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        headings: One per column; of several lines where a line feed stands in it. All empty: there is no heading.
        rows: Cells; a row of one cell is a title among the rows.
        left: How many columns, from the first, hold words; the others hold figures and stand to the right.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left: int = 1


def grid(headings: Sequence[str], rows: Sequence[Sequence[Any]], *, left: int = 1) -> Grid:
    """Return a table of texts and `Cell`s; see `Grid`."""
    return Grid(tuple(headings), tuple(tuple(map(_shown, row)) for row in rows), left)


def _shown(value: object) -> Cell:
    cell = value if isinstance(value, Cell) else Cell(str(value))
    return Cell(printable(cell.text), cell.style)


def print_grid(screen: Screen, shown: Grid) -> None:
    """Print a table: aligned where it fits the width, else every row as a list of its figures, none of them cut.

    There the first heading says once what the titles of the lists are.
    """
    widths = _widths(shown)
    if sum(widths) + len(_GAP) * (len(widths) - 1) <= screen.width:
        _print_aligned(screen, shown, widths)
    else:
        _print_stacked(screen, shown)


def _widths(shown: Grid) -> list[int]:
    headings = [[cell_len(part) for part in heading.split("\n")] for heading in shown.headings]
    cells = [[cell_len(row[column].text) for row in shown.rows if len(row) > 1] for column in range(len(headings))]
    return [max([*above, *below]) for above, below in zip(headings, cells, strict=True)]


def _print_aligned(screen: Screen, shown: Grid, widths: Sequence[int]) -> None:
    upwards = [heading.split("\n")[::-1] for heading in shown.headings]
    for line in [*zip_longest(*upwards, fillvalue="")][::-1] if any(shown.headings) else ():
        screen.print(_row([Cell(text, "bold") for text in line], widths, shown.left))
    for row in shown.rows:
        screen.print(Text(row[0].text, "bold") if len(row) == 1 else _row(row, widths, shown.left))


def _row(cells: Sequence[Cell], widths: Sequence[int], left: int) -> Text:
    line = Text()
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        padding = " " * (width - cell_len(cell.text))
        line.append(_GAP if column else "")
        line.append(cell.text + padding if column < left else padding + cell.text, cell.style)
    line.rstrip()
    return line


def _print_stacked(screen: Screen, shown: Grid) -> None:
    headings = [" ".join(printable(heading.replace("\n", " ")).split()) for heading in shown.headings]
    widest = max((cell_len(heading) for heading in headings[1:]), default=0)
    if headings[0]:
        screen.say(f"{headings[0]}:")
    for row in shown.rows:
        screen.say(row[0].text.strip(), "bold")
        for heading, cell in zip(headings[1:], row[1:], strict=False):
            if cell.text:
                space = _GAP if widest else ""
                screen.say(f"{_INDENT}{heading}{' ' * (widest - cell_len(heading))}{space}{cell.text}", cell.style)
