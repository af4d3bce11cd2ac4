"""How long timing will take, told before it begins: from the bytes that move and the speed of this machine's memory."""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from tightrope.verify.timing.jobs import Job
from tightrope.verify.timing.measure import SHORTEST_TURN

_PROBE: Final = 2**25
# Measured beside two libraries; a call of a library takes some ten times as long as a copy.
_CONTENDERS: Final = 3
_COPIES: Final = 6.0
_BYTES: Final = {"float32": 4}


def estimate(jobs: Sequence[Job], rounds: int) -> float:
    """Return about how many seconds `run` takes for these jobs: right within a small factor, not more.

    A turn lasts a few milliseconds, or one call and the one before it that is not timed.
    """
    speed = _copy_speed()
    return sum((rounds + 3) * _CONTENDERS * max(SHORTEST_TURN, 2 * _COPIES * _moved(job) / speed) for job in jobs)


def _moved(job: Job) -> int:
    work = job.work
    return 2 * (work.heads + work.kv_heads) * work.seq * job.rope.head_dim * _BYTES.get(work.dtype, 2)


def _copy_speed() -> float:
    """Return bytes read and written per second by a plain copy."""
    source, target = np.ones(_PROBE, np.uint8), np.ones(_PROBE, np.uint8)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return 2 * _PROBE / max(min(seconds), 1e-9)
