"""How long rotations take: Tightrope, a plain copy and the libraries that are installed, side by side.

A machine's speed drifts while it is measured. So everything that is compared takes turns, round by round; what is
reported is the median over the rounds, and ratios are formed inside a round before their median is taken.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from statistics import median
from typing import Any, Final, Literal, Protocol, cast

from tightrope import backends
from tightrope.backends.ops import Order
from tightrope.rope.config import ModelRope, RopeConfig
from tightrope.rope.errors import RopeConfigError

Task = Literal["in place", "new tensors", "with gradient", "angles"]
TASKS: Final[tuple[Task, ...]] = ("in place", "new tensors", "with gradient", "angles")

YARDSTICK: Final = "copy"
"""Reads and writes as many bytes as the task must at least; every ratio is to it."""
OURS: Final = "tightrope"

_WARM_UPS: Final = 2
# A clock's tick, the call of it and a first cache miss are noise of about a microsecond.
_SHORTEST_TURN: Final = 2e-3


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is timed.

    Attributes:
        task: `"in place"`: q and k rotated where they lie, angles given. `"new tensors"`: rotated into new ones.
            `"with gradient"`: the same and back. `"angles"`: cos and sin from positions.
        dtype: Of q and k.
        seq: Tokens.
        heads, kv_heads: Of q and of k.
        order: How q and k lie in memory.
        compiled: Whether libraries are also timed after their framework's compiler went over them.
    """

    task: Task
    dtype: str
    seq: int
    heads: int = 32
    kv_heads: int = 8
    order: Order = "bhsd"
    compiled: bool = False


class Contenders(Protocol):
    """What a backend's module `contenders` offers."""

    def contenders(self, work: Work, rope: RopeConfig, device: str) -> Mapping[str, Callable[[], object]]:
        """Return who can do this work, by name, the yardstick first; each call does it once. Empty: nobody."""

    def on(self, device: str) -> AbstractContextManager[object]:
        """Run what follows on this device, at no cost to a call."""

    def peak(self, call: Callable[[], object], device: str) -> int | None:
        """Return how many bytes a call held at once beyond what was there before; None where nothing tells."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contender's figures.

    Attributes:
        backend, device, path: Where it ran; for Tightrope also which code.
        contender: `"tightrope"`, the yardstick `"copy"`, or a library.
        seconds: Median of one call.
        ratio: Median over rounds of its time by the yardstick's in the same round.
        share: Bandwidth as a share of the yardstick's: the bytes that the task must move, over time.
        peak: Bytes held at once beyond what was there before the call; None where nothing tells.
    """

    backend: str
    device: str
    path: str
    task: Task
    dtype: str
    seq: int
    order: Order
    contender: str
    seconds: float
    ratio: float
    share: float
    peak: int | None


@dataclass(frozen=True)
class Job:
    """Work on a backend's device."""

    backend: str
    device: str
    rope: RopeConfig
    work: Work


def plan(
    model: ModelRope, places: Sequence[tuple[str, str]], *, dtypes: Sequence[str] = ("float32", "bfloat16", "float16"),
    lengths: Sequence[int] = (8192, 512, 1), tasks: Sequence[Task] = TASKS, orders: Sequence[Order] = ("bhsd",),
    heads: int = 32, kv_heads: int = 8, layer_type: str | None = None, compiled: bool = False,
) -> list[Job]:  # fmt: skip
    """Return what `run` is to time, one after the other.

    Args:
        model: The ropes; one of them is timed.
        places: Backends with devices: `("torch", "cpu")`.
        dtypes: Of q and k; those that a device does not compute in are left out. Angles are float32.
        lengths: Tokens; a single one, decoding, has no task with gradient.
        tasks: See `Work`.
        orders: See `Work`.
        heads: Of q.
        kv_heads: Of k.
        layer_type: Which rope, where there are several.
        compiled: See `Work`.

    Raises:
        RopeConfigError: An argument is none of its values.
        BackendUnavailable: A backend cannot be used.
    """
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise RopeConfigError(f"tasks must be of {', '.join(map(repr, TASKS))}, got {unknown[0]!r}")
    key = model.key(layer_type) if layer_type is not None or len(model.ropes) == 1 else next(iter(model.ropes))
    jobs = []
    for (name, device), order, task, seq, dtype in product(places, orders, tasks, lengths, dtypes):
        work = Work(
            task=task, dtype=dtype, seq=seq, heads=heads, kv_heads=kv_heads, order=order, compiled=compiled
        )  # fmt: skip
        if _makes_sense(work, dtypes, backends.load(name).dtypes(device)):
            jobs.append(Job(name, device, model.ropes[key], work))
    return jobs


def _makes_sense(work: Work, dtypes: Sequence[str], computed: Sequence[str]) -> bool:
    if work.task == "angles":
        return work.dtype == dtypes[0] and work.order == "bhsd"
    return work.dtype in computed and not (work.task == "with gradient" and work.seq == 1)


def run(job: Job, rounds: int = 15) -> list[Row]:
    """Return a row for each contender, the yardstick first; none where the backend has no such task.

    Args:
        job: See `plan`.
        rounds: How often they take turns.
    """
    backend = backends.load(job.backend)
    library = _contenders(job.backend)
    with library.on(job.device):
        calls = library.contenders(job.work, job.rope, job.device)
        seconds = interleaved(calls, rounds, lambda: backend.synchronize(job.device))
        peaks = {name: library.peak(call, job.device) for name, call in calls.items()}
    path = backend.path(job.device)
    return [_row(job, path if name == OURS else "", name, seconds, peaks[name]) for name in calls]


def _contenders(name: str) -> Contenders:
    return cast(Contenders, import_module(f"{backends.ENTRIES[name].module}.contenders"))


def _row(job: Job, path: str, name: str, seconds: Mapping[str, Sequence[float]], peak: int | None) -> Row:
    ratio = median(own / other for own, other in zip(seconds[name], seconds[YARDSTICK], strict=True))
    work = job.work
    return Row(
        backend=job.backend, device=job.device, path=path, task=work.task, dtype=work.dtype, seq=work.seq,
        order=work.order, contender=name, seconds=median(seconds[name]), ratio=ratio,
        share=moved(work.task, job.rope) / ratio, peak=peak,
    )  # fmt: skip


def moved(task: Task, rope: RopeConfig) -> float:
    """Return the bytes that a task must move, as a share of what the yardstick moves."""
    return rope.rotary_dim / rope.head_dim if task == "in place" else 1.0


def interleaved(
    calls: Mapping[str, Callable[[], object]], rounds: int, synchronize: Callable[[], None],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:  # fmt: skip
    """Return seconds per call, round by round: in each round everyone has a turn, and everyone is first in some round.

    Args:
        calls: What is timed, by name.
        rounds: How many rounds.
        synchronize: Waits until everything that was started is done.
        clock: Seconds.
    """

    def turn(call: Callable[[], object], times: int) -> float:
        synchronize()
        start = clock()
        for _ in range(times):
            call()
        synchronize()
        return (clock() - start) / times

    for call in calls.values():
        turn(call, _WARM_UPS)
    times = {name: max(1, math.ceil(_SHORTEST_TURN / max(turn(call, 1), 1e-9))) for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for number in range(rounds):
        first = number % len(names) if names else 0
        for name in names[first:] + names[:first]:
            seconds[name].append(turn(calls[name], times[name]))
    return seconds


_HEADING: Final[tuple[str, ...]] = (
    "where", "task", "dtype", "seq", "order", "who", "time", "× copy", "bandwidth", "memory"
)  # fmt: skip


def lines(rows: Sequence[Row]) -> list[str]:
    """Return rows as an aligned table."""
    cells: list[tuple[str, ...]] = [
        ("where", "task", "dtype", "seq", "order", "who", "time", "× copy", "bandwidth", "memory")
    ]
    cells += [_cells(row) for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cells(row: Row) -> tuple[str, ...]:
    who = f"{row.contender}, {row.path}" if row.path else row.contender
    return (
        f"{row.backend} {row.device}", row.task, row.dtype, f"{row.seq:,}", row.order, who, _in_words(row.seconds),
        f"{row.ratio:.2f}", f"{row.share:.0%}", "" if row.peak is None else f"{row.peak / 2**20:.1f} MiB",
    )  # fmt: skip


def _in_words(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} µs"


def as_dicts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return rows as plain dictionaries, for JSON."""
    return [dict(vars(row)) for row in rows]
