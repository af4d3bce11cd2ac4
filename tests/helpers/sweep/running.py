"""The sweep, run once per family and remembered: tests and the table ask for the same verdicts."""

import copy
from functools import cache

import torch

from sweep.agreement import by_backend
from sweep.judging import Judge, Verdict
from sweep.subjects.cases import Case
from sweep.subjects.collecting import sweep
from sweep.subjects.discovery import rotary_families
from sweep.subjects.settings import NOT_ROTATED
from sweep.theirs.tracing import NotRunnableError, Trace, trace

BACKENDS = ("torch", "mlx")
DRIVEN = [family for family in rotary_families() if family not in NOT_ROTATED]


@cache
def judge() -> Judge:
    """Return the judge with both backends."""
    return Judge({name: by_backend(name) for name in BACKENDS})


@cache
@torch.no_grad()
def cases(family: str) -> tuple[Case, ...]:
    """Return the cases of a family."""
    return tuple(sweep((family,)).cases)


@cache
@torch.no_grad()
def traced(family: str) -> tuple[tuple[Case, Trace | NotRunnableError], ...]:
    """Return what the models of a family rotate, once per configuration of its own rope type; towers have no layers."""
    once = {id(c.config): c for c in cases(family) if c.variant == "default" and c.content != "patches"}
    return tuple((case, _trace(case)) for case in once.values())


def _trace(case: Case) -> Trace | NotRunnableError:
    try:
        return trace(case.rope.rotary, copy.deepcopy(case.config))
    except NotRunnableError as error:
        return error


@cache
@torch.no_grad()
def verdicts(family: str) -> tuple[Verdict, ...]:
    """Return the verdicts of a family, in the order of its cases."""
    return tuple(judge().judge(case) for case in cases(family))


def all_verdicts() -> list[Verdict]:
    """Return every verdict."""
    return [verdict for family in rotary_families() for verdict in verdicts(family)]
