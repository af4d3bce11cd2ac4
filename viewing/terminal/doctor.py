"""What `tightrope doctor` found, as a person reads it in a terminal."""

from itertools import groupby
from typing import TYPE_CHECKING, Final

from tightrope.verify.doctor import Finding, State

if TYPE_CHECKING:
    from rich.console import Console

# The sign says it without colour too.
_SIGNS: Final[dict[State, tuple[str, str]]] = {
    "ok": ("✓", "green"),
    "missing": ("–", "yellow"),
    "problem": ("✗", "bold red"),
}


def print_checks(console: "Console", checks: list[Finding]) -> None:
    """Print a table per topic, and under each what to do."""
    from rich.table import Table
    from rich.text import Text

    for topic, group in groupby(checks, key=lambda one: one.topic):
        console.print(topic, style="bold")
        shown = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1))
        for column in ("state", "subject", "words"):
            shown.add_column(column, no_wrap=column != "words", overflow="fold")
        for one in group:
            sign, style = _SIGNS[one.state]
            shown.add_row(Text(f"  {sign}", style), one.subject, one.words)
            if one.remedy:
                shown.add_row("", "", f"→ {one.remedy}")
        console.print(shown)
