"""Does a library rotate a model as its configuration says?"""

from tightrope.verify.audit.joining import joined, read_findings
from tightrope.verify.audit.peers import PEERS, installed
from tightrope.verify.audit.report import Audit, PeerAudit, RopeAudit, count
from tightrope.verify.audit.run import audit

__all__ = ["PEERS", "Audit", "PeerAudit", "RopeAudit", "audit", "count", "installed", "joined", "read_findings"]
