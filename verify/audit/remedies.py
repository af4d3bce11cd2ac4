"""How what a library does otherwise is put right."""

from pathlib import Path
from typing import Final

from tightrope.verify.audit.causes import KEY, SPELLING
from tightrope.verify.audit.peers import PEERS
from tightrope.verify.audit.report import PeerAudit

# Where nothing else is wrong, the file in the older spelling is enough: no code, and all tools of a library read it.
_OF_SPELLING: Final = frozenset({SPELLING, KEY})


def remedies(audit: PeerAudit, peer: str, source: object) -> tuple[str, ...]:
    """Return the calls that put a peer right for a model, the one without code first; () where there is none.

    Args:
        audit: What the peer does.
        peer: Its name in `PEERS`.
        source: The configuration that was audited.
    """
    if audit.status not in ("wrong", "refuses"):
        return ()
    found = []
    if audit.causes and set(audit.causes) <= _OF_SPELLING:
        path = _config_path(source)
        found.append(f"tightrope convert {path} --to v4 -o {path}")
    entry = PEERS.get(peer)
    if entry is not None and entry.remedy and not audit.mends:
        found.append(entry.remedy)
    return tuple(found)


def _config_path(source: object) -> str:
    """Return the path of the config.json that was audited; its usual name where it came from elsewhere."""
    if not isinstance(source, str | Path):
        return "config.json"
    path = Path(source)
    return str(path / "config.json" if path.is_dir() else path)
