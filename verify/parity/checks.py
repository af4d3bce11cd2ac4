"""What is compared on a call: frequencies, angles, the rotation, its gradient."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.frequencies import Precision, frequencies
from tightrope.rope.reference import DType, round_to
from tightrope.rope.schedule import Policy
from tightrope.verify.parity import cases, probes
from tightrope.verify.parity.cases import Call
from tightrope.verify.parity.differences import EPS, TURN, angle_norm, pair_norm
from tightrope.verify.parity.subjects import Subject, Tensors
from tightrope.verify.parity.tolerances import CheckKind, from_exact
from tightrope.verify.parity.trajectory import trajectories

Array = NDArray[Any]

PRECISIONS: Final[tuple[Precision, ...]] = ("exact", "float32")
_Q_HEADS: Final = 3
_K_HEADS: Final = 2


@dataclass(frozen=True, eq=False)
class Check:
    """One quantity on one call: how a subject gives it, and how far two of them may lie apart.

    Attributes:
        kind: The quantity.
        numbers: The precision of the angles, the tensors' dtype, or the policy.
        call: The call.
        run: From a subject and a rope to arrays.
        norm: From the exact arrays to the norm of each value's pair.
        eps: One ulp of norm 1.
        tolerance: Of a backend against exact arithmetic, in ulps of the pair's norm.
        defined: Its bits are defined.
    """

    kind: CheckKind
    numbers: Precision | DType | Policy
    call: Call
    run: Callable[[Subject, RopeConfig], tuple[Array, ...]]
    norm: Callable[[tuple[Array, ...]], tuple[Array, ...]]
    eps: float
    tolerance: float
    defined: bool


def checks(rope: RopeConfig, max_position: int | None, dtypes: Sequence[DType]) -> Iterator[Check]:
    """Yield everything that is compared for a rope."""
    lengths = cases.lengths(rope, max_position)
    scaled = any(frequencies(rope, length).attention_factor != 1 for length in lengths)
    for precision in PRECISIONS:
        for call in cases.probe_calls(rope, lengths, _PROBES[precision][1]):
            yield _frequency_check(call, precision)
    for precision in PRECISIONS:
        for call in cases.angle_calls(rope, lengths):
            yield _angle_check(call, precision, scaled)
    for dtype in dtypes:
        for call in cases.rotation_calls(rope, lengths):
            yield from _rotation_checks(rope, call, dtype, scaled)
    for policy, calls in trajectories(rope, max_position):
        yield _trajectory_check(calls, policy, scaled)


def _frequency_check(call: Call, precision: Precision) -> Check:
    measure, _, eps = _PROBES[precision]
    return Check(
        "frequencies", precision, call,
        run=lambda subject, rope: (measure(subject, rope, call),),
        norm=lambda exact: (_radians(exact[0]),),
        eps=eps, tolerance=from_exact("frequencies"), defined=False,
    )  # fmt: skip


_Probe = tuple[Callable[[Subject, RopeConfig, Call], Array], tuple[int, ...], float]
_PROBES: Final[dict[Precision, _Probe]] = {
    "exact": (probes.measured_turns, probes.EXACT_SHIFTS, EPS["float64"]),
    "float32": (probes.measured_inv_freq, probes.FLOAT32_SHIFTS, EPS["float32"]),
}


def _radians(measured: Array) -> Array:
    return np.abs(measured.view(np.int64)) * TURN if measured.dtype == np.uint64 else np.abs(measured)


def _angle_check(call: Call, precision: Precision, scaled: bool) -> Check:
    return Check(
        "angles", precision, call,
        run=lambda subject, rope: subject.cos_sin(rope, call, precision),
        norm=angle_norm,
        eps=EPS["float32"], tolerance=from_exact("angles", precision=precision, scaled=scaled),
        defined=precision == "exact",
    )  # fmt: skip


def _trajectory_check(calls: Sequence[Call], policy: Policy, scaled: bool) -> Check:
    return Check(
        "trajectory", policy, calls[-1],
        run=lambda subject, rope: subject.trajectory(rope, calls, policy),
        norm=angle_norm,
        eps=EPS["float32"], tolerance=from_exact("trajectory", scaled=scaled), defined=True,
    )  # fmt: skip


def _rotation_checks(rope: RopeConfig, call: Call, dtype: DType, scaled: bool) -> Iterator[Check]:
    tensors = draw_tensors(rope, call, dtype)
    runs: dict[CheckKind, Callable[[Subject, RopeConfig], tuple[Array, ...]]] = {
        "rotation": lambda subject, rope: subject.rotate(rope, call, tensors),
        "gradient": lambda subject, rope: subject.gradient(rope, call, tensors),
    }
    for kind, run in runs.items():
        yield Check(
            kind, dtype, call, run,
            norm=lambda exact: tuple(pair_norm(rope, y) for y in exact),
            eps=EPS[dtype], tolerance=from_exact(kind, dtype=dtype, scaled=scaled), defined=True,
        )  # fmt: skip


def draw_tensors(rope: RopeConfig, call: Call, dtype: DType) -> Tensors:
    """Return q and k with different numbers of heads; where a tail is rotated k is that part alone, as in MLA."""
    rng = np.random.default_rng(rope.head_dim)
    batch, seq = call.positions.shape[-2:]
    k_width = rope.rotary_dim if rope.side == "tail" else rope.head_dim
    shapes = ((batch, _Q_HEADS, seq, rope.head_dim), (batch, _K_HEADS, seq, k_width)) * 2
    q, k, q_cotangent, k_cotangent = (round_to(rng.standard_normal(shape), dtype) for shape in shapes)
    return Tensors(q, k, q_cotangent, k_cotangent, dtype)
