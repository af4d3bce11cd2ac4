"""Families that an installed library knows and the table does not: asked of whoever can build its models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from tightrope.rope.reading.families.family import Family


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A family as a library's own code shows it.

    Attributes:
        family: What was found.
        source: The library and its version.
        columns: The columns that differ from the defaults of `Family`, as the table would have them.
    """

    family: Family
    source: str
    columns: Mapping[str, str]

    def line(self, model_type: str) -> str:
        """Return the line of the table."""
        return f'"{model_type}": Family({", ".join(f"{name}={text}" for name, text in self.columns.items())}),'


Learner = Callable[[str], Learned | None]
_LEARNERS: list[Learner] = []


def register_learner(learner: Learner) -> None:
    """Ask this function, too, for families that the table does not have: it imports a framework only when asked."""
    _LEARNERS.append(learner)
    learned_family.cache_clear()


@cache
def learned_family(model_type: str) -> Learned | None:
    """Return what a library shows of a model_type, None where none knows it or its code cannot be understood."""
    return next(filter(None, (learner(model_type) for learner in _LEARNERS)), None)
