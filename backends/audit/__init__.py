"""Does a library rotate a model as its configuration says?"""

from tightrope.backends.audit.peers import PEERS, installed
from tightrope.backends.audit.report import Audit, PeerAudit, RopeAudit, count
from tightrope.backends.audit.run import audit
from tightrope.backends.audit.table import print_audit, print_list

__all__ = ["PEERS", "Audit", "PeerAudit", "RopeAudit", "audit", "count", "installed", "print_audit", "print_list"]
