"""What was timed, as a person reads it: a table for each job, as soon as it is measured."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tightrope.verify.timing.rows import Row

if TYPE_CHECKING:
    from tightrope.viewing.terminal.console import Screen


def print_rows(screen: "Screen", rows: Sequence[Row]) -> None:
    """Print what was timed in one job and a row for each contender."""
    from tightrope.viewing.terminal.console import grid, print_grid

    if not rows:
        return
    first = rows[0]
    form = f"{first.order}, {first.pairs}"
    screen.say(f"{first.backend} {first.device}, {first.task}, {first.dtype}, {first.seq:,} tokens, {form}", "bold")
    headings = ("  who", "time", "× copy", "bandwidth\n/ copy", "memory")
    print_grid(screen, grid(headings, [(f"  {row.who}", *figures(row)) for row in rows]))
    screen.say()


def figures(row: Row) -> tuple[str, ...]:
    """Return time, its ratio to the copy's, bandwidth as a share of the copy's, and memory, as text."""
    memory = "" if row.peak is None else f"{row.peak / 2**20:.1f} MiB"
    return in_words(row.seconds), f"{row.ratio:.2f}", f"{row.share:.0%}", memory


def in_words(seconds: float) -> str:
    """Return a time in ms or µs."""
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} µs"
