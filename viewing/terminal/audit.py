"""An audit as a person reads it: one model at length, many models a line each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from tightrope.verify.audit.report import Audit, PeerAudit, count
from tightrope.viewing.verdicts import WORDS, verdict

if TYPE_CHECKING:
    from tightrope.viewing.terminal.console import Cell, Grid, Screen

_STYLES: Final[Mapping[str, str]] = {
    "agrees": "green", "rounding": "green", "wrong": "red", "unjudged": "yellow", "refuses": "yellow", "absent": "dim",
    "unusable": "yellow",
}  # fmt: skip
_WORD_STYLES: Final[Mapping[str, str]] = {word: _STYLES[status] for status, word in WORDS.items()}
_TOTALS = {
    "right": ("agrees", "rounding"), "WRONG": ("wrong",), "refuses": ("refuses",), "?": ("unjudged",),
    "unusable": ("unusable",),
}  # fmt: skip
_COUNTED = {
    "agrees": "right", "rounding": "right up to rounding", "wrong": "wrong", "unjudged": "not judged",
    "refuses": "refused", "absent": "not there", "unusable": "not examined",
}  # fmt: skip


def print_audit(shown_on: "Screen", audit: Audit) -> None:
    """Print what was measured for one model, and each peer's verdict."""
    from tightrope.viewing.terminal.console import print_grid

    shown_on.say(audit.name, "bold")
    if audit.remark:
        shown_on.say(f"  {audit.remark}")
    if any(peer.ropes for peer in audit.peers):
        shown_on.say()
        print_grid(shown_on, _errors(audit))
        shown_on.say()
    for peer in audit.peers:
        shown_on.say(f"  {verdict(peer)}", _STYLES[peer.status])


def _errors(audit: Audit) -> "Grid":
    """Return a row for each rope of each peer: its verdict, and the error by position."""
    from tightrope.viewing.terminal.console import Cell, grid

    positions = sorted({position for peer in audit.peers for rope in peer.ropes for position in rope.errors})
    several = len({rope.key for peer in audit.peers for rope in peer.ropes}) > 1
    rows = [
        [
            Cell(text, _STYLES[rope.status])
            for text in (
                peer.peer, *([rope.key] if several else []), WORDS[rope.status],
                *(f"{rope.errors[position]:.1e}" if position in rope.errors else "" for position in positions),
            )
        ]
        for peer in audit.peers
        for rope in peer.ropes
    ]  # fmt: skip
    words = ("peer", *(["rope"] if several else []), "result")
    return grid((*words, *(f"at\n{position:,}" for position in positions)), rows, left=len(words))


def print_list(shown_on: "Screen", audits: Sequence[Audit]) -> None:
    """Print the matrix of models and peers, why a model has no line in it, and a summary for each peer."""
    from tightrope.viewing.terminal.console import Cell, grid, print_grid

    names = peer_names(audits)
    rows = []
    for audit in audits:
        by_name = {peer.peer: _cell(peer) for peer in audit.peers}
        rows += [[audit.name, *(by_name.get(name, Cell("")) for name in names)]] if by_name else []
    if names:
        print_grid(shown_on, grid(("model", *names), rows, left=1 + len(names)))
        shown_on.say()
    _say_remarks(shown_on, audits)
    for name, total in count(audits).items():
        statuses = ", ".join(f"{number} {_COUNTED[status]}" for status, number in total["status"].most_common())
        causes = ", ".join(f"{cause} {number}" for cause, number in total["causes"].most_common())
        shown_on.say(f"{name}: {statuses}. Causes: {causes or 'none'}.")


def print_matrix(shown_on: "Screen", audits: Sequence[Audit]) -> None:
    """Print models down and peers across, the causes left to the list, and how many models have each result."""
    from tightrope.viewing.terminal.console import Cell, grid, print_grid

    names = peer_names(audits)
    rows = [[model, *(Cell(word, _WORD_STYLES[word]) for word in found)] for model, *found in _results(audits, names)]
    print_grid(shown_on, grid(("model", *names), rows, left=1 + len(names)))
    shown_on.say()
    print_grid(shown_on, grid(("how many", *names), _totals(audits, names)))
    shown_on.say()
    _say_remarks(shown_on, audits)


def _say_remarks(shown_on: "Screen", audits: Sequence[Audit]) -> None:
    """Print why a model has no verdicts."""
    for audit in audits:
        if not audit.peers:
            shown_on.say(f"{audit.name}: {audit.remark}")


def to_markdown(audits: Sequence[Audit]) -> str:
    """Return what `print_matrix` prints as one Markdown table."""
    names = peer_names(audits)
    lines = [["model", *names], ["---"] * (1 + len(names)), *_results(audits, names)]
    lines += [[f"**{word}**", *numbers] for word, *numbers in _totals(audits, names)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _results(audits: Sequence[Audit], names: Sequence[str]) -> Iterator[list[str]]:
    """Yield each model with the verdict on each peer."""
    for audit in audits:
        by_name = {peer.peer: WORDS[peer.status] for peer in audit.peers}
        yield [audit.name, *(by_name.get(name, WORDS["absent"]) for name in names)]


def _totals(audits: Sequence[Audit], names: Sequence[str]) -> list[list[str]]:
    """Return a line for each result that a peer has, with how many models have it."""
    found = {name: total["status"] for name, total in count(audits).items()}
    lines = {word: [sum(found[name][one] for one in statuses) for name in names] for word, statuses in _TOTALS.items()}
    lines["–"] = [len(audits) - sum(numbers) for numbers in zip(*lines.values(), strict=True)]
    return [[word, *map(str, numbers)] for word, numbers in lines.items() if any(numbers)]


def peer_names(audits: Sequence[Audit]) -> list[str]:
    """Return the peers that were asked, with their versions."""
    return list(dict.fromkeys(peer.peer for audit in audits for peer in audit.peers))


def _cell(peer: PeerAudit) -> "Cell":
    from tightrope.viewing.terminal.console import Cell

    causes = f": {', '.join(peer.causes)}" if peer.status in ("wrong", "refuses") else ""
    return Cell(WORDS[peer.status] + causes, _STYLES[peer.status])
