"""The comparison itself: every check on every subject, against exact arithmetic, the definition and each other."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.config.description import describe
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.config.terms import LAYOUTS
from tightrope.rope.reading.families.lookup import find_family
from tightrope.rope.reference import DTYPES, DType
from tightrope.verify.parity.checks import Check, checks
from tightrope.verify.parity.differences import Figure, compare
from tightrope.verify.parity.report import Comparison, ModelReport
from tightrope.verify.parity.subjects import Definition, Exact, Subject
from tightrope.verify.parity.tolerances import between

Arrays = tuple[NDArray[Any], ...]

EXACT: Final = Exact()
DEFINITION: Final = Definition()


def compare_model(
    model: ModelRope, subjects: Sequence[Subject], *, name: str = "", max_position: int | None = None,
    dtypes: Sequence[DType] = DTYPES,
) -> ModelReport:  # fmt: skip
    """Return how far the subjects agree on every rope of a model.

    Args:
        model: Its ropes.
        subjects: Backends on devices, see `OnDevice`.
        name: Of the report.
        max_position: The longest context to compare at, in tokens.
        dtypes: Of the rotated tensors.
    """
    ropes = ropes_in_question(model)
    found = tuple(
        one
        for key, rope in ropes.items()
        for check in checks(rope, max_position, dtypes)
        for one in _compare(key, rope, check, subjects)
    )
    return ModelReport(name, {key: describe(rope, context=True) for key, rope in ropes.items()}, model.notes, found)


def ropes_in_question(model: ModelRope) -> dict[str, RopeConfig]:
    """Return the ropes of a model; in both layouts where its family is unknown, because no configuration states it."""
    if find_family(model.model_type) is not None:
        return dict(model.ropes)
    return {
        f"{key}, {layout}" if len(model.ropes) > 1 else layout: rope.replace(layout=layout)
        for key, rope in model.ropes.items()
        for layout in LAYOUTS
    }


def _compare(key: str, rope: RopeConfig, check: Check, subjects: Sequence[Subject]) -> Iterator[Comparison]:
    exact = check.run(EXACT, rope)
    taking_part = (*subjects, DEFINITION) if check.defined else subjects
    results = {EXACT.name: exact, **{subject.name: _attempt(check, subject, rope) for subject in taking_part}}
    norm = check.norm(exact)
    blind = _blindness(check, rope, exact, norm)
    for left, right, tolerance in _pairs(check, subjects):
        figure, problem = _outcome(results[left], results[right], norm, check.eps)
        where = (key, check.kind, check.numbers, check.call.name, check.call.group)
        yield Comparison(*where, left, right, tolerance, figure, problem or blind)


def _pairs(check: Check, subjects: Sequence[Subject]) -> Iterator[tuple[str, str, float]]:
    """Yield who is compared with whom, and how many ulps they may lie apart: 0 where both promise the defined bits."""
    for subject in subjects:
        yield subject.name, EXACT.name, check.tolerance
    pairs = [*((subject, DEFINITION) for subject in subjects if check.defined), *combinations(subjects, 2)]
    for left, right in pairs:
        same_bits = check.defined and left.promises_bits and right.promises_bits
        yield left.name, right.name, 0.0 if same_bits else between(check.tolerance, check.tolerance)


def _attempt(check: Check, subject: Subject, rope: RopeConfig) -> Arrays | Exception:
    try:
        return check.run(subject, rope)
    except Exception as error:  # whatever a framework raises is a finding about it, and the other checks go on
        return error


def _outcome(
    left: Arrays | Exception, right: Arrays | Exception, norm: Arrays, eps: float
) -> tuple[Figure | None, str | None]:
    if isinstance(left, Exception) or isinstance(right, Exception):
        error = left if isinstance(left, Exception) else right
        return None, f"{type(error).__name__}: {error}"
    expected = [array.shape for array in norm]
    for found in ([array.shape for array in left], [array.shape for array in right]):
        if found != expected:
            return None, f"results of shape {found}, expected {expected}"
    return compare(_flat(left), _flat(right), _flat(norm), eps), None


def _flat(arrays: Arrays) -> NDArray[Any]:
    return np.concatenate([array.ravel() for array in arrays])


def _blindness(check: Check, rope: RopeConfig, exact: Arrays, norm: Arrays) -> str | None:
    """Return what is wrong with the check itself: that a rotation the other way round would pass it too."""
    mirrored = check.run(EXACT, rope.replace(direction=-rope.direction))
    if compare(_flat(mirrored), _flat(exact), _flat(norm), check.eps).ulps > between(check.tolerance, check.tolerance):
        return None
    return "this check would not notice a rotation the other way round"
