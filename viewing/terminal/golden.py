"""A check as a person reads it in a terminal."""

from typing import TYPE_CHECKING, Final

from tightrope.verify.golden.session import CORE, Finding, GoldenReport
from tightrope.viewing.terminal.parity import ulps_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_UNIT: Final = "ulps are of the pair's norm; each cell: identical calls, largest difference"


def print_report(console: "Console", report: GoldenReport) -> None:
    """Print who wrote the file and one row per quantity, a column per local backend."""
    from rich.table import Table

    told = report.story
    console.print(f"{told.source or 'a configuration'}, written by {told.backend} ({told.path}) on {told.machine}:")
    versions = f"tightrope {told.tightrope}, framework {told.framework}, numpy {told.numpy}, Python {told.python}"
    console.print(f"  {versions}")
    subjects = [name for name in dict.fromkeys(one.subject for one in report.findings) if name != CORE]
    shown = Table(box=None, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for heading in (*subjects, "allowed"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for label, row in _rows(report).items():
        cells = [_cell(row.get(CORE) or row[name]) for name in subjects]
        shown.add_row(label, *cells, ulps_text(next(iter(row.values())).allowed))
    console.print(shown)
    console.print(_UNIT, style="dim")


def verdict(report: GoldenReport) -> str:
    """Return the result in words."""
    if report.identical:
        return "identical, every bit"
    if report.agrees:
        return "agrees: some bits differ, none by more than rounding explains"
    bad = {f"{one.subject} {one.kind} {one.numbers}" for one in report.findings if not one.agrees}
    return f"DISAGREES: {', '.join(sorted(bad))}"


def _rows(report: GoldenReport) -> dict[str, dict[str, Finding]]:
    """Return label → subject → finding."""
    several = len({one.rope for one in report.findings}) > 1
    rows: dict[str, dict[str, Finding]] = {}
    for one in report.findings:
        label = f"{one.rope} {one.kind} {one.numbers}" if several else f"{one.kind} {one.numbers}"
        rows.setdefault(label, {})[one.subject] = one
    return rows


def _cell(finding: Finding) -> "Text":
    from rich.text import Text

    if finding.problem:
        return Text(finding.problem, "bold red")
    if finding.identical == finding.calls:
        return Text("identical")
    text = f"{finding.identical} of {finding.calls}, {ulps_text(finding.ulps)}"
    return Text(text) if finding.agrees else Text(f"✗ {text}", "bold red")
