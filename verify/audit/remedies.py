"""How to put right what a library does differently."""

from pathlib import Path
from shlex import quote
from typing import Final

from tightrope.rope.reading.hub import is_hub_id
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
        before, after = _config_paths(source)
        found.append(f"tightrope convert {quote(before)} --to v4 -o {quote(after)}")
    entry = PEERS.get(peer)
    if entry is not None and entry.remedy and not audit.mends:
        found.append(entry.remedy)
    return tuple(found)


def _config_paths(source: object) -> tuple[str, str]:
    """Return what to convert, and the config.json to write: the usual name where that is no file of this machine."""
    if not isinstance(source, str | Path):
        return "config.json", "config.json"
    path = Path(source)
    if is_hub_id(str(source)) and not path.exists():
        return str(source), "config.json"
    file = str(path / "config.json" if path.is_dir() else path)
    return file, file
