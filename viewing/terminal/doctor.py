"""What `tightrope doctor` found, as a person reads it in a terminal."""

from itertools import groupby
from typing import TYPE_CHECKING, Final

from tightrope.verify.doctor import Finding, State

if TYPE_CHECKING:
    from tightrope.viewing.terminal.console import Screen

# The sign says it without colour too.
_SIGNS: Final[dict[State, tuple[str, str]]] = {
    "ok": ("✓", "green"),
    "missing": ("–", "yellow"),
    "problem": ("✗", "bold red"),
}


def print_checks(console: "Screen", checks: list[Finding]) -> None:
    """Print a line per finding, by topic, and under each what to do."""
    subject_width = max((len(one.subject) for one in checks), default=0)
    for topic, group in groupby(checks, key=lambda one: one.topic):
        console.say(topic, "bold")
        for one in group:
            sign, style = _SIGNS[one.state]
            console.say(f"  {sign}  {one.subject:{subject_width}}  {one.words}", style if one.state != "ok" else "")
            if one.remedy:
                console.say(f"     → {one.remedy}")
