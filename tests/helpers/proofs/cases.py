"""What every kernel must get right: named cases, their inputs as numpy arrays, and the bits of the definition."""

from dataclasses import dataclass, field, fields
from itertools import product

import numpy as np

from tightrope.rope.phase import phase, turns
from tightrope.rope.reference import rotate_bits, round_to, sincos_phase

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call of a kernel.

    Attributes:
        source: Where angles come from: `"phase"` or `"table"`.
        k_heads: 0: q alone.
        strides: How q and k lie in memory, see `proofs.tensors`.
        positions: Their dtype; drawn from [low, high).
        tables: Tables of turns, a random one per row; 0: no index, one table for all.
        special: NaN and infinities in a few channels.
    """

    dtype: str = "float32"
    layout: str = "half"
    side: str = "head"
    transpose: bool = False
    in_place: bool = False
    source: str = "phase"
    batch: int = 2
    seq: int = 3
    q_heads: int = 5
    k_heads: int = 2
    q_width: int = 64
    k_width: int = 64
    pairs: int = 32
    strides: str = "bshd"
    positions: str = "int64"
    low: int = 0
    high: int = 131072
    axes: int = 1
    tables: int = 0
    gain: float = 1.0
    special: bool = False

    def __str__(self):
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return " ".join(
            value if isinstance(value, str) else name if value is True else f"{name}={value:g}"
            for name, value in changed.items()
        )


@dataclass(eq=False)
class Inputs:
    """Inputs of a case; q and k hold values of its dtype in float32."""

    q: np.ndarray
    k: np.ndarray | None
    positions: np.ndarray
    turns: np.ndarray
    gains: np.ndarray
    rows: np.ndarray | None
    axes: np.ndarray | None
    cos: np.ndarray = field(init=False)
    sin: np.ndarray = field(init=False)

    def __post_init__(self):
        self.cos, self.sin = self._angles()

    def _angles(self):
        """cos and sin of the definition, (batch, seq, pairs)."""
        row = np.zeros(len(self.q), int) if self.rows is None else self.rows
        axis = np.zeros(self.turns.shape[-1], int) if self.axes is None else self.axes
        positions = np.moveaxis(self.positions[axis], 0, -1)
        angles = phase(self.turns[row].view(np.uint64)[:, None], positions) >> np.uint64(32)
        gain = self.gains[row][:, None, None]
        return tuple(part * gain for part in sincos_phase(angles.astype(np.uint32)))


def inputs(case):
    """Draw the inputs of a case, the same ones every time."""
    rng = np.random.default_rng(20261122)
    q = _values(rng, case, case.q_heads, case.q_width)
    k = _values(rng, case, case.k_heads, case.k_width) if case.k_heads else None
    positions = rng.integers(case.low, case.high, (case.axes, case.batch, case.seq)).astype(case.positions)
    tables = max(case.tables, 1)
    bases = [5e5 * (table + 1) for table in range(tables)]
    frequencies = [base ** (-np.arange(case.pairs) / case.pairs) for base in bases]
    return Inputs(
        q=q,
        k=k,
        positions=positions,
        turns=np.stack([turns(inv_freq) for inv_freq in frequencies]).view(np.int64),
        gains=np.array([case.gain + table / 8 for table in range(tables)], np.float32),
        rows=rng.integers(0, tables, case.batch).astype(np.int32) if case.tables else None,
        axes=rng.integers(0, case.axes, case.pairs).astype(np.int32) if case.axes > 1 else None,
    )


def _values(rng, case, heads, width):
    values = rng.standard_normal((case.batch, case.seq, heads, width))
    if case.special:
        flat = values.reshape(-1)
        where = rng.choice(flat.size, 9, replace=False)
        flat[where] = np.resize([np.nan, np.inf, -np.inf], 9)
    return round_to(values, case.dtype)


def expected(case, given):
    """Return what q and k must become, float32 arrays with values of the case's dtype; None for no k."""

    def rotated(x):
        cos, sin = given.cos[:, :, None], given.sin[:, :, None]
        with np.errstate(invalid="ignore"):
            return rotate_bits(
                x, cos, sin, layout=case.layout, side=case.side, transpose=case.transpose, dtype=case.dtype
            )

    return rotated(given.q), None if given.k is None else rotated(given.k)


def _cases():
    # The most revealing ones first.
    for layout in ("half", "interleaved"):
        # Three position axes, two tables, q alone.
        yield Case(layout=layout, axes=3, tables=2, k_heads=0, low=-5000, pairs=24)
        # Every channel apart from the next, positions beyond 32 bits on both sides of 0.
        yield Case(layout=layout, strides="channels", pairs=24, low=-(2**40), high=2**40)
        yield Case(layout=layout, special=True, dtype="bfloat16", pairs=24)
    for dtype, layout in product(DTYPES, ("half", "interleaved")):
        both = {"dtype": dtype, "layout": layout}
        # MLA: the tail of q, a shared key that is nothing but tail, a gain; pairs that fill no power of two.
        yield Case(**both, side="tail", q_width=80, k_width=48, pairs=20, k_heads=1, gain=1.25, strides="mixed")
        # Angles given, every stride of q, k, cos and sin different.
        yield Case(**both, source="table", strides="mixed", in_place=True, pairs=12)
        # A transposed head, partially rotated, in place, narrow positions.
        yield Case(**both, strides="bhsd", pairs=8, transpose=True, in_place=True, positions="int32")
        # Llama: whole heads, grouped queries; more heads than a program turns.
        yield Case(**both, q_heads=18, k_heads=3, q_width=128, k_width=128, pairs=64, high=2**31)
    yield Case(batch=3, tables=3, gain=0.5, dtype="float16", positions="int32", low=-(2**31), high=2**31)
    yield Case(batch=1, seq=1, q_heads=1, k_heads=1, q_width=2, k_width=2, pairs=1)
    yield Case(source="table", special=True, transpose=True, dtype="float16", side="tail", pairs=16, batch=1, seq=7)


CASES = {str(case): case for case in _cases()}
