"""One verdict per case: every spelling of its configuration, read and rotated on every backend."""

from collections.abc import Iterator
from dataclasses import dataclass

import tightrope
from known_differences import known_difference
from sweep.agreement import Disagreement, Rotate, compare, rope_of
from sweep.spelling import spellings
from sweep.subjects.cases import Case

STATUSES = ("agree", "known difference", "unsupported", "differs")


@dataclass(frozen=True)
class Verdict:
    """What the sweep found out about a case.

    Attributes:
        case: Its name.
        family: Its family.
        variant: Its rope type or published spelling, see `Case`.
        content: What its positions are of, see `Case`.
        status: One of `STATUSES`.
        text: The difference or the reason.
        read_as: The rope that was read, "" where none was.
    """

    case: str
    family: str
    variant: str
    content: str
    status: str
    text: str = ""
    read_as: str = ""


class Judge:
    """Reads each spelling of each configuration once, and compares.

    Attributes:
        rotations: How to rotate, by the backend's name.
    """

    def __init__(self, rotations: dict[str, Rotate]) -> None:
        self.rotations = rotations
        self._read: dict[int, list[tuple[str, object]]] = {}

    def judge(self, case: Case) -> Verdict:
        """Return the verdict of a case: the first spelling that is not read as the case decides."""
        seen = []
        for spelling, model in self._models(case):
            if isinstance(model, tightrope.RopeConfigError):
                return _verdict(case, "unsupported", f"{spelling}: {model}")
            config = rope_of(model, case)
            if config not in seen and (found := self._compare(case, config)):
                known = known_difference(case.family, case.variant, case.content)
                return _verdict(case, "known difference" if known else "differs", f"{spelling}: {found}", repr(config))
            seen.append(config)
        return _verdict(case, "agree")

    def _compare(self, case: Case, config: tightrope.RopeConfig | None) -> Disagreement | None:
        if case.is_switched_off:
            return None if config is None else Disagreement("layers", "no layer has a position here; one was read")
        if config is None:
            return Disagreement("layers", f"layer {case.rope.layer} has no position here; transformers rotates it")
        return compare(case, config, self.rotations)

    def _models(self, case: Case) -> list[tuple[str, object]]:
        if id(case.config) not in self._read:
            self._read[id(case.config)] = list(_read_all(case))
        return self._read[id(case.config)]


def _verdict(case: Case, status: str, text: str = "", read_as: str = "") -> Verdict:
    return Verdict(case.name, case.family, case.variant, case.content, status, text, read_as)


def _read_all(case: Case) -> Iterator[tuple[str, object]]:
    for spelling, values in spellings(case).items():
        try:
            yield spelling, tightrope.read(values)
        except tightrope.RopeConfigError as error:
            yield spelling, error
