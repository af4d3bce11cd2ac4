"""The timing itself: everybody takes turns."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from statistics import median
from typing import Final, cast

from tightrope import backends
from tightrope.rope.config.rope import RopeConfig
from tightrope.verify.timing.jobs import Job
from tightrope.verify.timing.processor import processor
from tightrope.verify.timing.rows import Row
from tightrope.verify.timing.work import OURS, YARDSTICK, Contenders, Task

# For each backend the module that knows who is timed there; see `Contenders`.
CONTENDERS: Final = {"torch": "tightrope.verify.timing.on_torch", "mlx": "tightrope.verify.timing.on_mlx"}

# A clock's tick and the call of it are noise of about a microsecond.
SHORTEST_TURN: Final = 2e-3


def run(job: Job, rounds: int = 15) -> list[Row]:
    """Return a row for each contender, the yardstick first; none where the backend has no such task.

    Args:
        job: See `plan`.
        rounds: How often they take turns.
    """
    backend, library = backends.load(job.backend), find_contenders(job.backend)
    if library is None:
        return []
    with library.on(job.device):
        found = library.contenders(job.work, job.rope, job.device)
        calls = {name: contender.call for name, contender in found.items()}
        seconds = interleaved(calls, rounds, lambda: backend.synchronize(job.device))
        peaks = {name: library.peak(call, job.device) for name, call in calls.items()}
    path = backend.path(job.device)
    return [
        _row(job, path if name == OURS else "", name, found[name].remark, seconds, peaks[name]) for name in calls
    ]  # fmt: skip


def absent(jobs: Sequence[Job]) -> list[str]:
    """Return who takes no part in which of the jobs, and why: a line for each library and reason."""
    return list(dict.fromkeys(reason for job in jobs for reason in _absent(job)))


def _absent(job: Job) -> Iterator[str]:
    library, where = find_contenders(job.backend), f"{job.backend} {job.device}"
    if library is None:
        yield f"{where}: nothing is timed; verify/timing/measure.py names no contenders for this backend"
        return
    for name, reason in library.absent(job.work, job.rope, job.device).items():
        yield f"{where}: {name} {reason}"


def find_contenders(name: str) -> Contenders | None:
    """Return who is timed on a backend; None where `CONTENDERS` has no module for it."""
    return cast(Contenders, import_module(CONTENDERS[name])) if name in CONTENDERS else None


def _row(
    job: Job, path: str, name: str, remark: str, seconds: Mapping[str, Sequence[float]], peak: int | None
) -> Row:  # fmt: skip
    ratio = median(own / other for own, other in zip(seconds[name], seconds[YARDSTICK], strict=True))
    work, rope = job.work, job.rope
    return Row(
        backend=job.backend, device=job.device, path=path, processor=processor(), task=work.task, dtype=work.dtype,
        seq=work.seq,
        heads=work.heads, kv_heads=work.kv_heads, order=work.order, layout=rope.layout, rotary_dim=rope.rotary_dim,
        head_dim=rope.head_dim, contender=name, remark=remark, seconds=median(seconds[name]),
        minimum=min(seconds[name]), maximum=max(seconds[name]), ratio=ratio, share=moved(work.task, rope) / ratio,
        peak=peak,
    )  # fmt: skip


def moved(task: Task, rope: RopeConfig) -> float:
    """Return the bytes that a task must move, as a share of what the yardstick moves."""
    return rope.rotary_dim / rope.head_dim if task == "in place" else 1.0


def interleaved(
    calls: Mapping[str, Callable[[], object]], rounds: int, synchronize: Callable[[], None],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:  # fmt: skip
    """Return seconds per call, round by round: in each round everyone has a turn, and everyone is first in some round.

    A turn begins with a call that is not timed. So everybody finds caches and memory as a call of its own left them,
    whoever had the turn before.

    Args:
        calls: What is timed, by name.
        rounds: How many rounds.
        synchronize: Waits until everything that was started is done.
        clock: Seconds.
    """
    turn = partial(_turn, synchronize, clock)
    for call in calls.values():
        turn(call, 1)  # once more than a turn begins with: what is compiled or allocated may take two calls
    times = {name: max(1, math.ceil(SHORTEST_TURN / max(turn(call, 1), 1e-9))) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        for name in _beginning_with(number, list(calls)):
            seconds[name].append(turn(calls[name], times[name]))
    return seconds


def _turn(
    synchronize: Callable[[], None], clock: Callable[[], float], call: Callable[[], object], times: int
) -> float:  # fmt: skip
    """Return seconds per call, of so many calls after one that is not timed."""
    call()
    synchronize()
    start = clock()
    for _ in range(times):
        call()
    synchronize()
    return (clock() - start) / times


def _beginning_with(number: int, names: list[str]) -> list[str]:
    """Return names in their order, another first for each number."""
    first = number % max(1, len(names))
    return names[first:] + names[:first]
