"""What an audit found about one library, in words that the terminal and the report share."""

from collections.abc import Mapping
from typing import Final

from tightrope.verify.audit.report import PeerAudit, Status

WORDS: Final[Mapping[Status, str]] = {
    "agrees": "right", "rounding": "right, rounding", "wrong": "WRONG", "unjudged": "?", "refuses": "refuses",
    "absent": "–", "unusable": "unusable",
}  # fmt: skip


def verdict(peer: PeerAudit) -> str:
    """Return what a library does and, where it is wrong or refuses, the cause and the fix, in one line."""
    if peer.status not in ("wrong", "refuses"):
        return peer.verdict
    cause = f"{peer.verdict}. Cause: {', '.join(peer.causes)}"
    if peer.mends:
        return f"{cause}. Tightrope cannot fix it: {peer.mends}"
    return f"{cause}. Fix: {'; or '.join(peer.remedies)}" if peer.remedies else f"{cause}."
