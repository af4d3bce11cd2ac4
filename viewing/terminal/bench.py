"""What was timed, as a person reads it: a table for each job, as soon as it is measured."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tightrope.verify.timing.on_whole_models import WholeRow
from tightrope.verify.timing.rows import Row

if TYPE_CHECKING:
    from tightrope.viewing.terminal.console import Screen


def print_rows(screen: "Screen", rows: Sequence[Row]) -> None:
    """Print what was timed in one job and a row for each contender."""
    from tightrope.viewing.terminal.console import grid, print_grid

    if not rows:
        return
    first = rows[0]
    tokens = f"{first.seq:,} token{'s' * (first.seq != 1)}"
    where = f"{first.backend} {first.device}, {first.task}, {first.dtype}"
    screen.say(f"{where}, {tokens}, {first.order}, {first.pairs}", "bold")
    headings = ("  who", "median", "range", "× copy", "memory")
    print_grid(screen, grid(headings, [(f"  {row.who}", *figures(row)) for row in rows]))
    screen.say()


def print_whole_models(screen: "Screen", rows: Sequence[WholeRow]) -> None:
    """Print what patching costs each library in each phase."""
    from tightrope.viewing.terminal.console import grid, print_grid

    headings = (
        "patched model",
        "phase",
        "until the\ncall returns",
        "\n× unpatched",
        "until the\nresult",
        "\n× unpatched",
    )
    print_grid(screen, grid(headings, [_whole(row) for row in rows], left=2))


def _whole(row: WholeRow) -> tuple[str, ...]:
    host, whole = (in_words(row.host), f"{row.host_ratio:.2f}"), (in_words(row.whole), f"{row.whole_ratio:.2f}")
    return row.library, row.phase, *host, *whole


def figures(row: Row) -> tuple[str, ...]:
    """Return the median time, the fastest and the slowest, the ratio to the copy's, and memory, as text."""
    memory = "" if row.peak is None else f"{row.peak / 2**20:.1f} MiB"
    return in_words(row.seconds), _range(row.minimum, row.maximum), f"{row.ratio:.2f}", memory


def _range(low: float, high: float) -> str:
    """Return two times, the unit once where both have it."""
    (first, unit), (second, other) = (in_words(seconds).split() for seconds in (low, high))
    return f"{first}–{second} {unit}" if unit == other else f"{first} {unit}–{second} {other}"


def in_words(seconds: float) -> str:
    """Return a time in ms or µs."""
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} µs"
