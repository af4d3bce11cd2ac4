"""The sweep, run once per family and remembered: tests and the table ask for the same verdicts."""

from functools import cache

from sweep.agreement import by_backend
from sweep.cases import Case, sweep
from sweep.discovery import rotary_families
from sweep.judging import Judge, Verdict

BACKENDS = ("torch", "mlx")


@cache
def judge() -> Judge:
    """Return the judge with both backends."""
    return Judge({name: by_backend(name) for name in BACKENDS})


@cache
def cases(family: str) -> tuple[Case, ...]:
    """Return the cases of a family."""
    return tuple(sweep((family,)).cases)


@cache
def verdicts(family: str) -> tuple[Verdict, ...]:
    """Return the verdicts of a family, in the order of its cases."""
    return tuple(judge().judge(case) for case in cases(family))


def all_verdicts() -> list[Verdict]:
    """Return every verdict."""
    return [verdict for family in rotary_families() for verdict in verdicts(family)]
