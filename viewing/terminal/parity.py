"""A report as a person reads it: one aligned table per configuration, and a summary."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tightrope.verify.parity.differences import Figure, worst
from tightrope.verify.parity.report import VERDICTS, Comparison, ModelReport, ParityReport
from tightrope.verify.parity.subjects import OnDevice

if TYPE_CHECKING:
    from tightrope.viewing.terminal.console import Cell, Grid, Screen

_MOST_FAILURES = 10


def table(model: ModelReport, names: Sequence[str]) -> "Grid":
    """Return one row per quantity: each backend's error, what is allowed, and the difference between the backends.

    Args:
        model: A report with comparisons.
        names: Who took part, `"torch:cpu"`.
    """
    from tightrope.viewing.terminal.console import Cell, grid

    rows: list[list[Cell]] = []
    for key in model.ropes:
        rows += [[Cell(key)]] if len(model.ropes) > 1 else []
        for label, row in _rows(one for one in model.comparisons if one.rope == key):
            rows.append([Cell(label), *_cells(row, names)])
    return grid(("largest difference,\nabsolute and in ulps", *_headings(names)), rows)


def _headings(names: Sequence[str]) -> list[str]:
    between = ["\n− ".join(names) if len(names) == 2 else "each\nother"] if len(names) > 1 else []
    return [*(f"{name}\n− exact" for name in names), "allowed", *between]


def _rows(comparisons: Iterator[Comparison]) -> Iterator[tuple[str, list[Comparison]]]:
    """Yield what belongs in one row: a quantity in one arithmetic; angles also by length."""
    rows: dict[str, list[Comparison]] = {}
    for one in comparisons:
        rows.setdefault(" ".join(filter(None, [one.kind, one.numbers, one.group])), []).append(one)
    yield from rows.items()


def _cells(row: list[Comparison], names: Sequence[str]) -> Iterator["Cell"]:
    for name in names:
        yield _cell([one for one in row if (one.left, one.right) == (name, "exact")])
    yield _plain(_number(max(one.tolerance for one in row if one.right == "exact")))
    if len(names) > 1:
        yield _cell([one for one in row if one.right in names])


def _cell(comparisons: list[Comparison]) -> "Cell":
    figures = [one.figure for one in comparisons if one.figure]
    text = figure_text(worst(figures)) if figures else "failed"
    return _plain(text) if comparisons and all(one.agrees for one in comparisons) else _alarming(f"✗ {text}")


def figure_text(figure: Figure) -> str:
    """Return a difference in a few characters, absolute and in ulps: `7.1e-08 0.59`, or `identical`."""
    return "identical" if figure.identical else f"{figure.absolute:.1e} {_number(figure.ulps)}"


def ulps_text(ulps: float) -> str:
    """Return a number of ulps in a column's width: `0.59 ulp`."""
    return f"{_number(ulps)} ulp"


def _number(ulps: float) -> str:
    return f"{ulps:.2f}" if ulps < 1000 else f"{ulps:.0e}"


def _plain(text: str, style: str = "") -> "Cell":
    from tightrope.viewing.terminal.console import Cell

    return Cell(text, style)


def _alarming(text: str) -> "Cell":
    return _plain(text, "bold red")


def _lines_above(model: ModelReport) -> Iterator[str]:
    """Yield what stands above a table: the ropes, and what the reader wants a person to check."""
    for key, described in model.ropes.items():
        yield f"{key}: {described}" if len(model.ropes) > 1 else described
    for note in model.notes:
        yield f"note: {note}"


def _lines_below(model: ModelReport) -> Iterator[str]:
    """Yield what stands below a table: the verdict, and the first comparisons that failed."""
    if model.verdict == "unreadable":
        yield f"unreadable: {model.error}"
    elif model.verdict == "without rope":
        yield "without rope: nothing to compare"
    elif model.verdict == "agree":
        yield f"agree: {len(model.comparisons):,} comparisons"
    else:
        yield f"DISAGREE: {len(model.failures):,} of {len(model.comparisons):,} comparisons"
        yield from (f"  {one}" for one in model.failures[:_MOST_FAILURES])
        if len(model.failures) > _MOST_FAILURES:
            yield f"  … and {len(model.failures) - _MOST_FAILURES:,} more (--json has all)"


def print_backends(console: "Screen", subjects: Sequence[OnDevice], absent: Sequence[str]) -> None:
    """Print who takes part, and why others do not."""
    for one in subjects:
        path = one.backend.path(one.device)
        console.say(f"{one.name}: {one.backend.name} {one.backend.version}, {path}")
    for reason in absent:
        console.say(f"{reason}; compared without it")
    console.say()


def print_model(console: "Screen", model: ModelReport, names: Sequence[str]) -> None:
    """Print one configuration: its ropes, the table, the verdict."""
    from tightrope.viewing.terminal.console import print_grid

    console.say(model.name, "bold")
    for line in _lines_above(model):
        console.say(line)
    if model.comparisons:
        print_grid(console, table(model, names))
    style = "green" if model.verdict in ("agree", "without rope") else "bold red"
    for line in _lines_below(model):
        console.say(line, style)
    console.say()


def print_summary(console: "Screen", report: ParityReport, seconds: float) -> None:
    """Print how often each backend gave the very bits of the definition, and the verdicts in one line."""
    for backend in report.backends:
        name = f"{backend.name}:{backend.device}"
        defined = [
            one for model in report.models for one in model.comparisons if (one.left, one.right) == (name, "definition")
        ]
        same = sum(one.figure is not None and one.figure.identical for one in defined)
        console.say(f"{name}: bit for bit the definition in {same:,} of {len(defined):,} comparisons")
    console.say(_summary_line(report, seconds), "bold")


def _summary_line(report: ParityReport, seconds: float) -> str:
    counts = report.counts()
    verdicts = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]]
    number = len(report.models)
    return (
        f"{number} configuration{'s' * (number != 1)}: {', '.join(verdicts)}; "
        f"{counts['comparisons']:,} comparisons of {counts['values']:,} values in {seconds:.1f} s"
    )
