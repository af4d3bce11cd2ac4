"""What the report compares: the backends with each other, and the libraries that are installed with the truth."""

from collections.abc import Callable, Sequence
from typing import Any

from tightrope.rope.errors import BackendUnavailable
from tightrope.verify.audit import Audit, audit, installed
from tightrope.verify.parity import ParityReport, choose, compare_source, summarise


def find_parity(config: object, wanted: Sequence[str] = ()) -> ParityReport | None:
    """Return what `tightrope parity` finds for a configuration; None where no backend is installed.

    Args:
        config: What `tightrope.read` takes.
        wanted: Backends, see `choose`; none: all.
    """
    try:
        subjects, absent = choose(wanted)
    except BackendUnavailable:
        if wanted:
            raise
        return None
    return summarise(subjects, absent, [compare_source("", config, subjects)])


def find_audit(config: object) -> Audit | None:
    """Return what `tightrope audit` finds for a configuration; None where no library is installed."""
    return audit(config) if installed() else None


def findings(config: object, wanted: Sequence[str]) -> dict[str, Callable[[], Any]]:
    """Return the comparisons of a report by name, each to be called."""
    return {"parity": lambda: find_parity(config, wanted), "audit": lambda: find_audit(config)}
