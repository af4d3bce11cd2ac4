"""The table `family · cases · agree · known difference · unsupported`, and the same for machines."""

from collections import Counter
from collections.abc import Iterable

from sweep.judging import STATUSES, Verdict

HEADINGS = ("family", "cases", *STATUSES)


def rows(verdicts: Iterable[Verdict]) -> list[tuple]:
    """Return one row per family, sorted, and a last one with the totals."""
    counts: dict[str, Counter] = {}
    for verdict in verdicts:
        counts.setdefault(verdict.family, Counter())[verdict.status] += 1
    table = [_row(family, count) for family, count in sorted(counts.items())]
    return [*table, _row(f"{len(counts)} families", sum(counts.values(), Counter()))]


def _row(name: str, count: Counter) -> tuple:
    return (name, count.total(), *(count[status] for status in STATUSES))


def table(verdicts: Iterable[Verdict]) -> str:
    """Return the aligned table; a column without a case is left out."""
    cells = [HEADINGS, *rows(verdicts)]
    keep = [i for i in range(len(HEADINGS)) if HEADINGS[i] != "differs" or cells[-1][i]]
    widths = [max(len(str(line[i])) for line in cells) for i in keep]
    return "\n".join("  ".join(_cell(line[i], width) for i, width in zip(keep, widths, strict=True)) for line in cells)


def _cell(value: object, width: int) -> str:
    return str(value).ljust(width) if isinstance(value, str) else str(value or "·").rjust(width)
