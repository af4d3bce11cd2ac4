"""Exceptions raised at one line after another of the code that changes models, as Ctrl-C may raise one."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tightrope.backends import patching

_WATCHED = str(Path(patching.__file__).parent)  # of the installed copy, wherever that is


class Injected(BaseException):
    """What is raised; no code catches it by name."""


def at_every_line(fresh: Callable[[], Any], work: Callable[[Any], object]) -> Iterator[tuple[str, Any]]:
    """Yield (where, subject) after work(subject) was interrupted at its first line, at its second, and so on."""
    count = 0
    while (where := _interrupted(work, subject := fresh(), count)) is not None:
        yield where, subject
        count += 1


def _interrupted(work: Callable[[Any], object], subject: Any, count: int) -> str | None:
    """Interrupt work after so many lines; return where, or None if it ended before."""
    left, where = count, None

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal left, where
        if event == "call":
            return trace if frame.f_code.co_filename.startswith(_WATCHED) else None
        if event == "line" and where is None:
            if left == 0:
                where = f"{frame.f_code.co_qualname}:{frame.f_lineno}"
                raise Injected
            left -= 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work(subject)
    except Injected:
        pass
    finally:
        sys.settrace(before)
    return where
