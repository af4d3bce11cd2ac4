"""An audit as a person reads it: one model at length, many models a line each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tightrope.verify.audit.report import Audit, PeerAudit, count

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {
    "agrees": "green", "rounding": "green", "wrong": "red", "unjudged": "yellow", "refuses": "yellow", "absent": "dim",
}  # fmt: skip
_WORDS = {
    "agrees": "right", "rounding": "right, rounding", "wrong": "WRONG", "unjudged": "?", "refuses": "refuses",
    "absent": "–",
}  # fmt: skip
_COUNTED = {
    **_WORDS, "rounding": "right up to rounding", "wrong": "wrong", "unjudged": "not judged", "refuses": "refused",
    "absent": "not there",
}  # fmt: skip


def print_audit(shown_on: "Console", audit: Audit) -> None:
    """Print what was measured for one model, and each peer's verdict."""
    shown_on.print(audit.name, style="bold")
    if audit.remark:
        shown_on.print(f"  {audit.remark}")
    if any(peer.ropes for peer in audit.peers):
        shown_on.print(_errors(audit))
    for peer in audit.peers:
        shown_on.print(f"  {peer.verdict}{_remedy(peer)}", style=_STYLES[peer.status])


def _errors(audit: Audit) -> Any:
    from rich import box
    from rich.table import Table

    positions = sorted({position for peer in audit.peers for rope in peer.ropes for position in rope.errors})
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in ("peer", "rope"):
        table.add_column(name)
    for position in positions:
        table.add_column(f"at {position:,}", justify="right")
    table.add_column("")
    for peer in audit.peers:
        for rope in peer.ropes:
            cells = [f"{rope.errors[position]:.1e}" if position in rope.errors else "" for position in positions]
            table.add_row(peer.peer, rope.key, *cells, _WORDS[rope.status], style=_STYLES[rope.status])
    return table


def _remedy(peer: PeerAudit) -> str:
    if peer.status not in ("wrong", "refuses"):
        return ""
    cause = f". Cause: {', '.join(peer.causes)}"
    if peer.mends:
        return f"{cause}. Tightrope does not mend it: {peer.mends}"
    return f"{cause}. Tightrope mends it{': ' + '; or '.join(peer.remedies) if peer.remedies else '.'}"


def print_list(shown_on: "Console", audits: Sequence[Audit]) -> None:
    """Print the matrix of models and peers, why a model has no line in it, and a summary for each peer."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    names = peer_names(audits)
    for name in ("model", *names):
        table.add_column(name)
    for audit in audits:
        by_name = {peer.peer: peer for peer in audit.peers}
        if by_name:
            table.add_row(audit.name, *(_cell(by_name[name]) for name in names))
    if names:
        shown_on.print(table)
    for audit in audits:
        if not audit.peers:
            shown_on.print(f"{audit.name}: {audit.remark}")
    for name, total in count(audits).items():
        statuses = ", ".join(f"{number} {_COUNTED[status]}" for status, number in total["status"].most_common())
        causes = ", ".join(f"{cause} {number}" for cause, number in total["causes"].most_common())
        shown_on.print(f"{name}: {statuses}. Causes: {causes or 'none'}.")


def matrix(audits: Sequence[Audit]) -> str:
    """Return models down and peers across as a Markdown table, the causes left to the list."""
    names = peer_names(audits)
    lines = [["model", *names], ["---"] * (1 + len(names))]
    for audit in audits:
        by_name = {peer.peer: peer for peer in audit.peers}
        lines.append([audit.name, *(_WORDS[by_name[name].status] if by_name else "–" for name in names)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def peer_names(audits: Sequence[Audit]) -> list[str]:
    """Return the peers that were asked, with their versions."""
    return list(dict.fromkeys(peer.peer for audit in audits for peer in audit.peers))


def _cell(peer: PeerAudit) -> Any:
    from rich.text import Text

    causes = f": {', '.join(peer.causes)}" if peer.status in ("wrong", "refuses") else ""
    return Text(_WORDS[peer.status] + causes, _STYLES[peer.status])
