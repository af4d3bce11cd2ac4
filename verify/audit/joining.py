"""Audits from several environments beside each other: libraries that pin different versions of one package."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from tightrope.rope.errors import RopeConfigError
from tightrope.verify.audit.report import Audit, PeerAudit, RopeAudit, Status

_STATUSES: Final = get_args(Status)


def read_findings(path: str | Path) -> list[Audit]:
    """Return the audits that `tightrope audit --json` wrote.

    Raises:
        RopeConfigError: The file is something else, or cannot be read.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        if content["command"] != "audit" or content["schema"] != 1:
            raise ValueError(f"it has command {content['command']!r}, schema {content['schema']!r}")
        return [_audit(entry) for entry in content["results"]]
    except OSError as error:
        raise RopeConfigError(f"cannot be read: {error.strerror}", source=str(path)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        words = f"no field {error}" if isinstance(error, KeyError) else str(error)
        raise RopeConfigError(
            f"must be what tightrope audit --json writes (schema 1): {words}", source=str(path)
        ) from error


def joined(audits: Sequence[Audit], others: Iterable[Audit]) -> list[Audit]:
    """Return audits with the peers of others of the same name beside their own; of a peer in both, their own."""
    found = {audit.name: audit for audit in audits}
    for other in others:
        own = found.setdefault(other.name, other)
        known = {peer.peer for peer in own.peers}
        found[other.name] = Audit(
            own.name,
            (*own.peers, *(peer for peer in other.peers if peer.peer not in known)),
            own.remark or other.remark,
            own.unreadable or other.unreadable,
            own.failed or other.failed,
        )
    return list(found.values())


def _audit(entry: Mapping[str, Any]) -> Audit:
    peers = tuple(_peer(peer) for peer in entry["peers"])
    return Audit(str(entry["config"]), peers, str(entry["remark"]), bool(entry["unreadable"]), bool(entry["failed"]))


def _peer(entry: Mapping[str, Any]) -> PeerAudit:
    ropes = tuple(
        RopeAudit(key, {int(at): _number(error) for at, error in rope["errors"].items()}, _status(rope["status"]))
        for key, rope in entry["ropes"].items()
    )
    return PeerAudit(
        str(entry["peer"]), _status(entry["status"]), str(entry["verdict"]), ropes, tuple(map(str, entry["causes"])),
        str(entry["why_not"]), tuple(map(str, entry["remedies"])),
    )  # fmt: skip


def _number(error: float | None) -> float:
    return float("inf") if error is None else float(error)  # JSON has no infinity


def _status(word: Any) -> Status:
    if word not in _STATUSES:
        raise ValueError(f"status {word!r} is none of {', '.join(_STATUSES)}")
    status: Status = word
    return status
