"""A check as a person reads it in a terminal."""

from typing import TYPE_CHECKING, Final

from tightrope.verify.golden.session import CORE, GoldenFinding, GoldenReport
from tightrope.viewing.terminal.parity import ulps_text

if TYPE_CHECKING:
    from tightrope.viewing.terminal.console import Cell, Screen

_UNIT: Final = "ulps are of the pair's norm; each cell: identical calls, largest difference"


def print_report(console: "Screen", report: GoldenReport) -> None:
    """Print who wrote the file and one row per quantity, a column per local backend."""
    from tightrope.viewing.terminal.console import grid, print_grid

    told = report.story
    console.say(f"{told.source or 'a configuration'}, written by {told.backend} ({told.path}) on {told.machine}:")
    versions = f"tightrope {told.tightrope}, framework {told.framework}, numpy {told.numpy}, Python {told.python}"
    console.say(f"  {versions}")
    subjects = [name for name in dict.fromkeys(one.subject for one in report.findings) if name != CORE]
    rows = [
        [label, *(_cell(row.get(CORE) or row[name]) for name in subjects), ulps_text(next(iter(row.values())).allowed)]
        for label, row in _rows(report).items()
    ]
    print_grid(console, grid(("", *subjects, "allowed"), rows))
    console.say(_UNIT, "dim")


def verdict(report: GoldenReport) -> str:
    """Return the result in words."""
    if report.identical:
        return "identical, every bit"
    if report.agrees:
        return "agrees: some bits differ, none by more than rounding explains"
    bad = {f"{one.subject} {one.kind} {one.numbers}" for one in report.findings if not one.agrees}
    return f"DISAGREES: {', '.join(sorted(bad))}"


def _rows(report: GoldenReport) -> dict[str, dict[str, GoldenFinding]]:
    """Return label → subject → finding."""
    several = len({one.rope for one in report.findings}) > 1
    rows: dict[str, dict[str, GoldenFinding]] = {}
    for one in report.findings:
        label = f"{one.rope} {one.kind} {one.numbers}" if several else f"{one.kind} {one.numbers}"
        rows.setdefault(label, {})[one.subject] = one
    return rows


def _cell(finding: GoldenFinding) -> "Cell":
    from tightrope.viewing.terminal.console import Cell

    if finding.problem:
        return Cell(finding.problem, "bold red")
    if finding.identical == finding.calls:
        return Cell("identical")
    text = f"{finding.identical} of {finding.calls}, {ulps_text(finding.ulps)}"
    return Cell(text) if finding.agrees else Cell(f"✗ {text}", "bold red")
