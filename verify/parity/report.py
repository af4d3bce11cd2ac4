"""What a comparison found, and how it is written for machines: JSON and JUnit."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal
from xml.etree import ElementTree

from tightrope.rope.support.json_values import json_values
from tightrope.rope.support.printable import printable
from tightrope.verify.parity.differences import Figure
from tightrope.verify.parity.tolerances import CheckKind

Verdict = Literal["agree", "disagree", "unreadable", "without rope"]
VERDICTS: Final[tuple[Verdict, ...]] = ("agree", "disagree", "unreadable", "without rope")


@dataclass(frozen=True)
class Comparison:
    """Two subjects on one call.

    Attributes:
        rope: Key of the model's ropes.
        kind: What was compared.
        numbers: The precision of the angles, the tensors' dtype, or the policy.
        call: The call, in words.
        group: Under which a table lists the call.
        left, right: Names of the subjects.
        tolerance: In ulps of the pair's norm.
        figure: How far they lie apart; None where it did not come to that.
        problem: Why it did not.
    """

    rope: str
    kind: CheckKind
    numbers: str
    call: str
    group: str
    left: str
    right: str
    tolerance: float
    figure: Figure | None = None
    problem: str | None = None

    @property
    def agrees(self) -> bool:
        """Within tolerance; a comparison that did not take place does not agree."""
        return self.problem is None and self.figure is not None and self.figure.ulps <= self.tolerance

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.rope, f"{self.kind} {self.numbers}", self.call) if part)
        return f"{self.left} against {self.right}: {where}: {self._finding()}"

    def _finding(self) -> str:
        if self.figure is None:
            return self.problem or "nothing was compared"
        apart = f"{self.figure.absolute:.2g} apart, {self.figure.ulps:.3g} ulp of the pair's norm"
        return f"{apart} (allowed {self.tolerance:.3g})"


@dataclass(frozen=True)
class ModelReport:
    """All comparisons of one configuration.

    Attributes:
        name: Of the configuration.
        ropes: One line of description per key of the model's ropes.
        notes: What the reader wants a person to check.
        comparisons: Everything that was compared.
        error: Why the configuration could not be read.
    """

    name: str
    ropes: dict[str, str]
    notes: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    error: str | None = None

    @property
    def verdict(self) -> Verdict:
        """Agreement needs comparisons; a model without rotary positions has none."""
        if self.error is not None:
            return "unreadable"
        if not self.ropes:
            return "without rope"
        return "agree" if self.comparisons and not self.failures else "disagree"

    @property
    def failures(self) -> tuple[Comparison, ...]:
        """The comparisons that do not agree."""
        return tuple(one for one in self.comparisons if not one.agrees)


@dataclass(frozen=True)
class BackendReport:
    """A backend that took part: its name and device, the framework's version, and which code rotates there."""

    name: str
    device: str
    version: str
    path: str


@dataclass(frozen=True)
class ParityReport:
    """A whole run.

    Attributes:
        backends: Who took part.
        absent: Why other backends did not.
        models: One report per configuration.
    """

    backends: tuple[BackendReport, ...]
    absent: tuple[str, ...]
    models: tuple[ModelReport, ...]

    @property
    def agrees(self) -> bool:
        """No configuration disagrees or is unreadable, and at least one agrees."""
        return {"agree"} <= {model.verdict for model in self.models} <= {"agree", "without rope"}

    @property
    def failure(self) -> str:
        """Why it does not agree, in one line."""
        bad = [f"{one.name}: {one.verdict}" for one in self.models if one.verdict in ("disagree", "unreadable")]
        return "; ".join(bad) or "no configuration has a rope to compare"

    def counts(self) -> dict[str, int]:
        """Return how many configurations have each verdict, and how many comparisons and values there were."""
        comparisons = [one for model in self.models for one in model.comparisons]
        return {
            **{verdict: sum(model.verdict == verdict for model in self.models) for verdict in VERDICTS},
            "comparisons": len(comparisons),
            "values": sum(one.figure.values for one in comparisons if one.figure),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON holds it; infinities, which JSON lacks, as null."""
        return {
            "agrees": self.agrees,
            "summary": self.counts(),
            "backends": [asdict(backend) for backend in self.backends],
            "absent": list(self.absent),
            "models": [{"verdict": model.verdict, **json_values(asdict(model))} for model in self.models],
        }


def junit(models: Iterable[ModelReport]) -> bytes:
    """Return a JUnit file: a suite per configuration, a test case per comparison."""
    root = ElementTree.Element("testsuites", name="tightrope parity")
    for model in models:
        suite = ElementTree.SubElement(root, "testsuite", name=printable(model.name))
        if model.verdict == "unreadable":
            ElementTree.SubElement(_case(suite, "read"), "error", message=printable(str(model.error)))
        if model.verdict == "without rope":
            ElementTree.SubElement(_case(suite, "compare"), "skipped", message="no rotary positions")
        for one in model.comparisons:
            case = _case(suite, f"{one.rope} {one.kind} {one.numbers} {one.call}: {one.left} against {one.right}")
            if not one.agrees:
                ElementTree.SubElement(case, "failure", message=printable(str(one)))
        for total, found in (("tests", "testcase"), *((f"{name}s", f"*/{name}") for name in ("failure", "error"))):
            suite.set(total, str(len(suite.findall(found))))
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _case(suite: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=suite.get("name", ""), name=printable(name))
