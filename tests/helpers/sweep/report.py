"""The table `family · cases · agree · known difference · unsupported`, and its summary for README.md."""

from collections import Counter
from collections.abc import Callable, Iterable

from sweep.judging import STATUSES, Verdict

HEADINGS = ("family", "cases", *STATUSES)
CONTENTS = {
    "text": "text and audio: one position per token",
    "picture": "images within text: M-RoPE",
    "patches": "vision towers: patches",
}


def rows(verdicts: Iterable[Verdict], by: Callable[[Verdict], str]) -> list[tuple]:
    """Return (name, cases, a number per status) for each group, in order of its name."""
    groups: dict[str, Counter] = {}
    for verdict in verdicts:
        groups.setdefault(by(verdict), Counter())[verdict.status] += 1
    return [_row(name, count) for name, count in sorted(groups.items())]


def _row(name: str, count: Counter) -> tuple:
    return (name, count.total(), *(count[status] for status in STATUSES))


def table(verdicts: list[Verdict]) -> str:
    """Return the aligned table of families; a column without a case is left out."""
    families = rows(verdicts, by=lambda verdict: verdict.family)
    cells = [HEADINGS, *families, _row(f"{len(families)} families", Counter(verdict.status for verdict in verdicts))]
    keep = [i for i in range(len(HEADINGS)) if HEADINGS[i] != "differs" or cells[-1][i]]
    widths = [max(len(str(line[i])) for line in cells) for i in keep]
    return "\n".join("  ".join(_cell(line[i], width) for i, width in zip(keep, widths, strict=True)) for line in cells)


def _cell(value: object, width: int) -> str:
    return str(value).ljust(width) if isinstance(value, str) else str(value or "·").rjust(width)


def summary(verdicts: list[Verdict], version: str) -> str:
    """Return the summary in Markdown: one line per content, with the number of families."""
    lines = [
        f"| transformers {version} | families | cases | {' | '.join(STATUSES[:-1])} |",
        "| --- " + "| ---: " * 5 + "|",
    ]
    for content, name in CONTENTS.items():
        chosen = [verdict for verdict in verdicts if verdict.content == content]
        _, cases, *counts = _row(name, Counter(verdict.status for verdict in chosen))
        numbers = [len({verdict.family for verdict in chosen}), cases, *counts[:-1]]
        lines.append(f"| {name} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join(lines)
