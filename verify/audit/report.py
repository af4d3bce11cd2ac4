"""What an audit found, and how it is said."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from tightrope.verify.audit.causes import Deviation

Status = Literal["agrees", "rounding", "wrong", "unjudged", "refuses", "absent", "unusable"]

# From this difference on, rounding is worth a word: for normally distributed queries.
VISIBLE = 1e-3


@dataclass(frozen=True)
class RopeAudit:
    """One rope of a model in one peer.

    Attributes:
        key: Its key in `ModelRope.ropes`.
        errors: The largest difference from the truth at each position, for normally distributed queries.
        status: `"agrees"`; `"rounding"`: float32 explains a difference above `VISIBLE`; `"wrong"`.
        deviations: What the peer does otherwise, where a rule knows it.
    """

    key: str
    errors: dict[int, float]
    status: Status
    deviations: tuple[Deviation, ...] = ()


@dataclass(frozen=True)
class PeerAudit:
    """A model in one peer.

    Attributes:
        peer: Its name and version.
        status: The worst of its ropes; `"unjudged"`: it differs from what Tightrope guesses of an unknown family;
            `"refuses"`: the peer raises; `"absent"`: it does not know this type of model; `"unusable"`: it cannot be
            examined on this machine, whatever the model.
        ropes: See `RopeAudit`.
        verdict: What it does, in words.
        causes: The classes of what it does otherwise.
        mends: Why `tightrope.patch` cannot mend it; empty where it can.
        remedies: The calls that put it right, the one without code first; empty where there is nothing to put right,
            or no remedy.
    """

    peer: str
    status: Status
    verdict: str
    ropes: tuple[RopeAudit, ...] = ()
    causes: tuple[str, ...] = ()
    mends: str = ""
    remedies: tuple[str, ...] = ()

    @property
    def fixable(self) -> bool:
        """There is something to put right, and a way to do it."""
        return bool(self.remedies)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "peer": self.peer,
            "status": self.status,
            "verdict": self.verdict,
            "causes": list(self.causes),
            "fixable": self.fixable,
            "remedies": list(self.remedies),
            "why_not": self.mends,
            "ropes": {rope.key: {"status": rope.status, "errors": rope.errors} for rope in self.ropes},
        }


@dataclass(frozen=True)
class Audit:
    """A configuration in every peer that was asked for.

    Attributes:
        name: The configuration.
        peers: Empty where there was nothing to compare.
        remark: Why there was nothing.
        unreadable: The configuration cannot be right, as the remark says.
        failed: The audit itself ended in an error, as the remark says.
    """

    name: str
    peers: tuple[PeerAudit, ...] = field(default=())
    remark: str = ""
    unreadable: bool = False
    failed: bool = False

    @property
    def wrong(self) -> bool:
        """A peer rotates this model differently from what its configuration says, beyond rounding."""
        return any(peer.status == "wrong" for peer in self.peers)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        peers = [peer.to_dict() for peer in self.peers]
        flags = {"unreadable": self.unreadable, "failed": self.failed}
        return {"config": self.name, "remark": self.remark, **flags, "peers": peers}


def count(audits: Iterable[Audit]) -> dict[str, dict[str, Counter[str]]]:
    """Return for each peer how many models have each status, and how many each cause."""
    totals: dict[str, dict[str, Counter[str]]] = {}
    for audit in audits:
        for peer in audit.peers:
            total = totals.setdefault(peer.peer, {"status": Counter(), "causes": Counter()})
            total["status"][peer.status] += 1
            total["causes"].update(set(peer.causes))
    return totals
