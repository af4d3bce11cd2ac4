"""Which work is to be timed, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from tightrope import backends
from tightrope.backends.shared.ops import Order
from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.config.terms import Layout
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.reference import DTYPES
from tightrope.verify.timing.work import TASKS, Task, Work


@dataclass(frozen=True)
class Job:
    """Work on a backend's device."""

    backend: str
    device: str
    rope: RopeConfig
    work: Work


def plan(
    model: ModelRope, places: Sequence[tuple[str, str]], *, dtypes: Sequence[str] = DTYPES,
    lengths: Sequence[int] = (8192, 512, 1), tasks: Sequence[Task] = TASKS, orders: Sequence[Order] = ("bhsd",),
    layouts: Sequence[Layout] = (), rotary_dims: Sequence[int] = (), heads: int = 32, kv_heads: int = 8,
    layer_type: str | None = None, compiled: bool = False,
) -> list[Job]:  # fmt: skip
    """Return what `run` is to time, one after the other.

    Args:
        model: The ropes; one of them is timed.
        places: Backends with devices: `("torch", "cpu")`.
        dtypes: Of q and k; those that a device does not compute in are left out. Angles are float32.
        lengths: Tokens; a single one, decoding, has no task with gradient.
        tasks: See `Work`.
        orders: See `Work`.
        layouts: Which channels form a pair; empty: as the rope has it.
        rotary_dims: How many channels rotate; empty: as the rope has it.
        heads: Of q.
        kv_heads: Of k.
        layer_type: Which rope, where there are several; None: the first.
        compiled: See `Work`.

    Raises:
        RopeConfigError: An argument is none of its values, or the model has no rope.
        BackendUnavailable: A backend cannot be used.
    """
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise RopeConfigError(f"tasks must be of {', '.join(map(repr, TASKS))}, got {unknown[0]!r}")
    ropes = _variants(_chosen(model, layer_type), layouts, rotary_dims)
    jobs = []
    for (name, device), order, rope, task, seq, dtype in product(places, orders, ropes, tasks, lengths, dtypes):
        work = Work(task=task, dtype=dtype, seq=seq, heads=heads, kv_heads=kv_heads, order=order, compiled=compiled)
        again = task == "angles" and (order, rope) != (orders[0], ropes[0])
        if not again and _makes_sense(work, dtypes, backends.load(name).dtypes(device)):
            jobs.append(Job(name, device, rope, work))
    return jobs


def _chosen(model: ModelRope, layer_type: str | None) -> RopeConfig:
    """Return the rope of a layer type; without one, the first."""
    if not model.ropes:
        raise RopeConfigError("there is nothing to time: this model has no rotary positions")
    return next(iter(model.ropes.values())) if layer_type is None else model.ropes[model.key(layer_type)]


def _variants(rope: RopeConfig, layouts: Sequence[Layout], rotary_dims: Sequence[int]) -> list[RopeConfig]:
    """Return the rope in each layout and with each number of channels that rotate."""
    found = product(layouts or (rope.layout,), rotary_dims or (rope.rotary_dim,))
    return [rope.replace(layout=layout, rotary_dim=rotary_dim) for layout, rotary_dim in found]


def _makes_sense(work: Work, dtypes: Sequence[str], computed: Sequence[str]) -> bool:
    if work.task == "angles":
        return work.dtype == dtypes[0]
    return work.dtype in computed and not (work.task == "with gradient" and work.seq == 1)
