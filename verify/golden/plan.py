"""What a golden file holds of a rope. A change here changes the format: raise `file.VERSION` with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tightrope.rope.config.model import ModelRope
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.errors import RopeConfigError
from tightrope.rope.frequencies import frequencies
from tightrope.rope.reference import DTYPES, DType
from tightrope.rope.schedule import POLICIES, Policy
from tightrope.verify.golden import random_bits as draws
from tightrope.verify.parity.cases import Call
from tightrope.verify.parity.differences import EPS, TURN, angle_norm, pair_norm
from tightrope.verify.parity.subjects import OnDevice, Tensors
from tightrope.verify.parity.tolerances import CheckKind, between, from_exact

Array = NDArray[Any]

_FAR: Final = 1 << 20
_BEYOND_INT32: Final = 1 << 40
_WIDEST: Final = 1 << 14
_SAMPLES: Final = 64
_SEQ: Final = 4
_Q_HEADS: Final = 2
_K_HEADS: Final = 1


@dataclass(frozen=True, eq=False)
class Quantity:
    """One quantity.

    Attributes:
        kind: What it is.
        numbers: The precision, the policy or the dtype of the tensors.
        call: Which positions, in words.
        parts: Names of its arrays.
        run: From a backend to those arrays; values of bfloat16 and float16 are held in float32.
        norm: From those arrays to the norm of each value's pair: what an ulp is measured by.
        eps: One ulp of norm 1.
        allowed: How many ulps two backends may lie apart.
    """

    kind: CheckKind
    numbers: str
    call: str
    parts: tuple[str, ...]
    run: Callable[[OnDevice], tuple[Array, ...]]
    norm: Callable[[tuple[Array, ...]], tuple[Array, ...]]
    eps: float
    allowed: float

    def names(self, rope: str) -> tuple[str, ...]:
        """Return the name of each array in the file."""
        return tuple(f"{rope}/{self.kind}/{self.numbers}/{self.call}/{part}" for part in self.parts)


def require_recordable(model: ModelRope) -> None:
    """Refuse a model without rope, and widths that no model has, before anything of that size is made.

    Raises:
        RopeConfigError: There is nothing to record, or a width is too large for a golden file.
    """
    problems = [] if model.ropes else ["there is nothing to record: this model has no rotary positions"]
    for key, rope in model.ropes.items():
        if rope.head_dim > _WIDEST:
            problems.append(f"head_dim of rope {key!r} must be <= {_WIDEST} for a golden file, got {rope.head_dim}")
    if problems:
        raise RopeConfigError(problems)


def entries(rope: RopeConfig) -> Iterator[Quantity]:
    """Yield everything that is recorded of a rope."""
    lengths = context_lengths(rope)
    scaled = any(frequencies(rope, length).attention_factor != 1 for length in lengths)
    for length in lengths if rope.scaling.follows_length else lengths[-1:]:
        yield _frequencies(rope, length)
    for call in _angle_calls(rope, lengths):
        yield _angles(rope, call, scaled)
    for policy in POLICIES:
        yield _trajectory(rope, policy, scaled)
    for dtype in DTYPES:
        for call in _rotation_calls(rope, lengths):
            yield from _rotation(rope, call, dtype, scaled)


def context_lengths(rope: RopeConfig) -> tuple[int, ...]:
    """Return the sequence lengths in question, in tokens, ascending."""
    lengths = {2 * _SEQ, _FAR, rope.max_position_embeddings or _FAR}
    if rope.scaling.follows_length and rope.original_length is not None:
        lengths |= {rope.original_length, rope.original_length + 1}
    return tuple(sorted(length for length in lengths if length >= 2 * _SEQ))


def _frequencies(rope: RopeConfig, length: int) -> Quantity:
    def run(_: OnDevice) -> tuple[Array, ...]:
        found = frequencies(rope, length)
        return found.inv_freq, found.turns, np.array([found.attention_factor])

    def norm(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        inv_freq, turns, attention_factor = arrays
        return np.abs(inv_freq), np.abs(turns.view(np.int64)) * TURN, attention_factor

    parts = ("inv_freq", "turns", "attention_factor")
    return Quantity("frequencies", "exact", f"{length} tokens", parts, run, norm, EPS["float64"], allowed=0.0)


def _angle_calls(rope: RopeConfig, lengths: tuple[int, ...]) -> Iterator[Call]:
    for length in lengths:
        yield _drawn(f"below {length}", (1, _SAMPLES), length)
        if rope.axes > 1:
            yield _drawn(f"{rope.axes} axes below {length}", (rope.axes, 1, _SAMPLES), length)
    if not rope.scaling.follows_length:
        yield _drawn(f"below {_BEYOND_INT32}", (1, _SAMPLES), _BEYOND_INT32)


def _rotation_calls(rope: RopeConfig, lengths: tuple[int, ...]) -> Iterator[Call]:
    for length in lengths:
        rows = np.arange(length - _SEQ, length)[None].repeat(2, axis=0)
        yield Call(f"offset {length - _SEQ}", rows, {"offset": length - _SEQ})
    yield _drawn("rows", (2, _SEQ), _FAR)
    if rope.axes > 1:
        yield _drawn(f"{rope.axes} axes", (rope.axes, 2, _SEQ), _FAR)


def _drawn(name: str, shape: tuple[int, ...], below: int) -> Call:
    positions = draws.positions(name, shape, below)
    return Call(name, positions, {"positions": positions})


def _angles(rope: RopeConfig, call: Call, scaled: bool) -> Quantity:
    return Quantity(
        "angles", "exact", call.name, ("cos", "sin"),
        run=lambda subject: subject.cos_sin(rope, call, "exact"),
        norm=angle_norm, eps=EPS["float32"], allowed=_twice("angles", scaled=scaled),
    )  # fmt: skip


def _trajectory(rope: RopeConfig, policy: Policy, scaled: bool) -> Quantity:
    def run(subject: OnDevice) -> tuple[Array, ...]:
        with subject.backend.on(subject.device):
            # A module of its own: under policy "transformers" it remembers the calls before.
            module = subject.backend.RotaryEmbedding(rope, policy=policy)
            steps = [_step(subject, module, positions) for positions in trajectory(rope)]
        return tuple(np.concatenate(part, axis=1) for part in zip(*steps, strict=True))

    return Quantity(
        "trajectory", policy, "prefill, decode, reset", ("cos", "sin"),
        run, norm=angle_norm, eps=EPS["float32"], allowed=_twice("trajectory", scaled=scaled),
    )  # fmt: skip


def trajectory(rope: RopeConfig) -> Iterator[NDArray[np.int64]]:
    """Yield the positions of each step, (2, seq): row 0 prefills and crosses the original length, row 1 stays short."""
    original = rope.original_length or 4096
    prefill = np.arange(_SEQ)[None].repeat(2, axis=0)
    yield prefill
    for step, far in enumerate((original - 1, original, 2 * original)):
        yield np.array([[far], [_SEQ + step]])
    yield prefill
    yield np.array([[original + 1], [_SEQ]])


def _step(subject: OnDevice, module: Any, positions: NDArray[np.int64]) -> tuple[Array, ...]:
    found = module.cos_sin(subject.backend.asarray(positions, "int64", subject.device))
    return tuple(subject.backend.to_numpy(part) for part in found)


def _rotation(rope: RopeConfig, call: Call, dtype: DType, scaled: bool) -> Iterator[Quantity]:
    tensors = _tensors(rope, call, dtype)
    runs: dict[CheckKind, Callable[[OnDevice], tuple[Array, ...]]] = {
        "rotation": lambda subject: subject.rotate(rope, call, tensors),
        "gradient": lambda subject: subject.gradient(rope, call, tensors),
    }
    for kind, run in runs.items():
        yield Quantity(
            kind, dtype, call.name, ("q", "k"), run,
            norm=lambda arrays: tuple(pair_norm(rope, y) for y in arrays),
            eps=EPS[dtype], allowed=_twice(kind, dtype=dtype, scaled=scaled),
        )  # fmt: skip


def _tensors(rope: RopeConfig, call: Call, dtype: DType) -> Tensors:
    batch, seq = call.positions.shape[-2:]
    k_width = rope.rotary_dim if rope.side == "tail" else rope.head_dim
    q, k = (batch, _Q_HEADS, seq, rope.head_dim), (batch, _K_HEADS, seq, k_width)
    shapes = {"q": q, "k": k, "q_cotangent": q, "k_cotangent": k}
    drawn = {part: draws.floats(f"{call.name} {part}", shape, dtype) for part, shape in shapes.items()}
    return Tensors(**drawn, dtype=dtype)


def _twice(kind: CheckKind, **how: Any) -> float:
    return between(from_exact(kind, **how), from_exact(kind, **how))
