"""One kernel text for Metal in MLX and PyTorch and CUDA in MLX: a thread rotates one pair of channels in a few heads.

The functions stand in rotation.metal, the kernel's body here. A host wraps them so that these names exist: the tensors
`q`, `q_out` (`k`, `k_out`) and those of `angle_tensors`, each with `_shape` and `_strides` in elements; and
`thread_position_in_grid`, which is (pair of a token, block of heads). Tensors are read in the body itself and never
handed to a function by a pointer, because MLX puts small ones into another address space.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any, Final

from tightrope.backends.shared.angles import Phase, Table, rotated_start
from tightrope.rope.config.terms import Layout, Side

# cos and sin are computed once for so many heads.
_HEADS_PER_THREAD: Final = 4

METAL_PRELUDE: Final = "#define ROPE_FN inline\n#define ROPE_BFLOAT bfloat\n"

_TOKEN = Template("""
  const int64_t pair = int64_t(thread_position_in_grid.x % uint(PAIRS));
  const uint token = thread_position_in_grid.x / uint(PAIRS);
  const uint seq = uint(${seq});
  if (token >= seq * uint(${batch})) { return; }
  const int64_t row = int64_t(token / seq);
  const int64_t step = int64_t(token % seq);
  rope_angle angle;
""")
_TABLE = """
  angle.c = cos[row * cos_strides[0] + step * cos_strides[1] + pair * cos_strides[2]];
  angle.s = sin[row * sin_strides[0] + step * sin_strides[1] + pair * sin_strides[2]];
"""
_PHASE = Template("""
  const int64_t table = ${table};
  const int64_t axis = ${axis};
  const int64_t at = axis * positions_strides[0] + row * positions_strides[1] + step * positions_strides[2];
  angle = rope_sincos(rope_phase(int64_t(positions[at]), turns[table * PAIRS + pair]));
  angle.c = angle.c * gains[table];
  angle.s = angle.s * gains[table];
""")
_TRANSPOSE = """
  angle.s = -angle.s;
"""
_ANGLES = """
  cos_out[int64_t(token) * PAIRS + pair] = angle.c;
  sin_out[int64_t(token) * PAIRS + pair] = angle.s;
"""
_BLOCK = """
  const int block = int(thread_position_in_grid.y);
"""
_HEADS = Template("""{
    const int first = (block - ${X}_BLOCK) * HEADS_PER_THREAD;
    const int end = first + HEADS_PER_THREAD < ${X}_HEADS ? first + HEADS_PER_THREAD : ${X}_HEADS;
    const int64_t one = ${X}_START + (INTERLEAVED ? 2 * pair : pair);
    const int64_t two = one + (INTERLEAVED ? 1 : PAIRS);
    for (int head = first; head < end; ++head) {
      const int64_t from = row * ${x}_strides[0] + step * ${x}_strides[SEQ_AXIS] + head * ${x}_strides[HEAD_AXIS];
      const int64_t to =
          row * ${x}_out_strides[0] + step * ${x}_out_strides[SEQ_AXIS] + head * ${x}_out_strides[HEAD_AXIS];
      const float x1 = float(${x}[from + one * ${x}_strides[3]]);
      const float x2 = float(${x}[from + two * ${x}_strides[3]]);
      const rope_pair y = rope_turn(x1, x2, angle);
      ${x}_out[to + one * ${x}_out_strides[3]] = rope_narrow<T>(y.first);
      ${x}_out[to + two * ${x}_out_strides[3]] = rope_narrow<T>(y.second);
      for (int64_t rest = ${X}_REST + pair; rest < ${X}_REST_END; rest += PAIRS) {
        ${x}_out[to + rest * ${x}_out_strides[3]] = ${x}[from + rest * ${x}_strides[3]];
      }
    }
  }""")


@dataclass(frozen=True, kw_only=True)
class HeadShape:
    """What the text must know of q or k.

    Attributes:
        heads: Their number.
        width: Channels of a head.
        copied: Channels that are not rotated are written too, because the output is another tensor.
    """

    heads: int
    width: int
    copied: bool = True


@dataclass(frozen=True, kw_only=True)
class KernelText:
    """A rotation for which one text is made: everything but the lengths, the strides and the values.

    Attributes:
        dtype: The type of q and k in the host's language.
        q: The queries.
        k: The keys, if any.
        pairs: Rotated pairs.
        angles: The names of the tensors that angles come from, see `angle_tensors`.
        layout: Which channels form a pair.
        side: Which end of the width is rotated.
        transpose: Rotate back.
        seq_axis: The axis of q and k that counts tokens: 1 or 2; heads are on the other one.
    """

    dtype: str
    q: HeadShape
    k: HeadShape | None
    pairs: int
    angles: tuple[str, ...]
    layout: Layout
    side: Side
    transpose: bool
    seq_axis: int = 1

    @property
    def blocks(self) -> int:
        """The number of blocks of heads: the grid's second extent."""
        return _blocks(self.q) + (_blocks(self.k) if self.k else 0)

    def body(self) -> str:
        """Return the statements of the kernel."""
        angle = _TABLE if "cos" in self.angles else _phase(self.angles)
        heads = f"  if (block < K_BLOCK) {_heads('q')} else {_heads('k')}\n" if self.k else f"  {_heads('q')}\n"
        token = _TOKEN.substitute(seq="q_shape[SEQ_AXIS]", batch="q_shape[0]")
        return "".join([self._constants(), token, angle, _TRANSPOSE if self.transpose else "", _BLOCK, heads])

    def _constants(self) -> str:
        values = {
            "PAIRS": self.pairs,
            "SEQ_AXIS": self.seq_axis,
            "HEAD_AXIS": 3 - self.seq_axis,
            "HEADS_PER_THREAD": _HEADS_PER_THREAD,
            **self._tensor_constants("Q", self.q, 0),
            **(self._tensor_constants("K", self.k, _blocks(self.q)) if self.k else {}),
        }
        lines = [f"  constexpr int {name} = {value};\n" for name, value in values.items()]
        flag = "true" if self.layout == "interleaved" else "false"
        return "".join([f"  typedef {self.dtype} T;\n  constexpr bool INTERLEAVED = {flag};\n", *lines])

    def _tensor_constants(self, prefix: str, tensor: HeadShape, block: int) -> dict[str, int]:
        start = rotated_start(tensor.width, self.pairs, self.side)
        rest = 0 if start else 2 * self.pairs
        rest_end = rest + tensor.width - 2 * self.pairs if tensor.copied else rest
        values = {"HEADS": tensor.heads, "BLOCK": block, "START": start, "REST": rest, "REST_END": rest_end}
        return {f"{prefix}_{name}": value for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class AngleKernel:
    """The angles alone, written without gaps: `cos_out` and `sin_out`, (batch, seq, pairs) float32.

    Attributes:
        pairs: Rotated pairs.
        angles: The names of the tensors that angles come from, those of a phase.
    """

    pairs: int
    angles: tuple[str, ...]

    def body(self) -> str:
        """Return the statements of the kernel."""
        token = _TOKEN.substitute(seq="positions_shape[2]", batch="positions_shape[1]")
        return "".join([f"  constexpr int PAIRS = {self.pairs};\n", token, _phase(self.angles), _ANGLES])


def angle_tensors(angles: Phase | Table) -> dict[str, Any]:
    """Return the tensors that a kernel reads its angles from, by the names that its text gives them."""
    if isinstance(angles, Table):
        return {"cos": angles.cos, "sin": angles.sin}
    tensors = {"positions": angles.positions, "turns": angles.turns, "gains": angles.attention_factors}
    optional = {"rows": angles.rows, "axes": angles.axes}
    return tensors | {name: tensor for name, tensor in optional.items() if tensor is not None}


@cache
def functions() -> str:
    """Return the functions that the body calls."""
    return files(__package__).joinpath("rotation.metal").read_text(encoding="ascii")


def _blocks(tensor: HeadShape) -> int:
    return -(-tensor.heads // _HEADS_PER_THREAD)


def _phase(names: tuple[str, ...]) -> str:
    table = "int64_t(rows[row * rows_strides[0]])" if "rows" in names else "0"
    axis = "int64_t(axes[pair])" if "axes" in names else "0"
    return _PHASE.substitute(table=table, axis=axis)


def _heads(name: str) -> str:
    return _HEADS.substitute(x=name, X=name.upper())
