"""What a configuration lists layer by layer, beside the rule of its family: the list counts, the rule is compared."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tightrope.rope.reading.section import Findings, Section


def compare_rule(section: Section, key: str, stated: list[Any], rule: Callable[[Section], list[Any]] | None) -> None:
    """Read the keys of a family's rule beside the list that counts before it, and note where they say otherwise."""
    if rule is None:
        return
    apart = Findings()
    ruled = rule(replace(section, findings=apart))
    own = sorted(path for path in apart.consumed if path not in section.findings.consumed)
    section.findings.consumed |= apart.consumed
    for problem in apart.problems:
        section.findings.note(f"{section.where(key)} counts; {problem}")
    if own and not apart.problems and ruled != stated:
        section.findings.note(f"{section.where(key)} counts; {', '.join(own)} would give other layers")
