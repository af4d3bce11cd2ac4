"""transformers' and Meta's apply functions: q and k rotated by full-width or complex tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightrope.backends.shared.arguments import conversion
from tightrope.backends.shared.arguments.repeated import RepeatedAngles
from tightrope.backends.shared.ops import Array, Order
from tightrope.backends.shared.positions import integers
from tightrope.backends.shared.rope_utils.framework import Framework
from tightrope.rope.config.rope import RopeConfig
from tightrope.rope.config.terms import Layout
from tightrope.rope.errors import RopeConfigError, shortened
from tightrope.rope.support.validation import is_list, is_whole


class ApplyFunctions(Framework):
    """Each delegates to the backend's `rotate`: one kernel, its gradient, one rounding."""

    def __init__(self) -> None:
        self._check_twice = RepeatedAngles(self.ops, twice=True).check

    def rotate_half(self, x: Array, layout: Layout = "half") -> Array:
        """Return x with each pair (a, b) replaced by (−b, a): the last axis rotated by a quarter turn.

        Args:
            x: (…, head_dim), head_dim even.
            layout: Which channels form a pair, see `RopeConfig`.

        Raises:
            RopeConfigError: The width is odd, or there is no such layout.
        """
        self._check_arrays(x=x)
        width = x.shape[-1] if x.shape else 1
        if width % 2:
            raise RopeConfigError(f"x must have an even number of channels, got {width}")
        if layout == "half":
            return self.concatenate((-x[..., width // 2 :], x[..., : width // 2]))
        if layout == "interleaved":
            return self.interleave(-x[..., 1::2], x[..., ::2])
        raise RopeConfigError(f"layout must be 'half' or 'interleaved', got {shortened(layout)}")

    def apply_rotary_pos_emb(
        self, q: Array, k: Array | None, cos: Array, sin: Array, position_ids: Array | None = None,
        unsqueeze_dim: int = 1,
    ) -> tuple[Array, Array | None]:  # fmt: skip
        """Return q and k rotated by full-width tables: x · cos + rotate_half(x) · sin, rounded once.

        Args:
            q: (batch, heads, seq, head_dim), or with unsqueeze_dim 2 (batch, seq, heads, head_dim).
            k: As q, heads may differ; or None.
            cos: (batch or 1, seq, rotary_dim), or (seq, rotary_dim): each angle stands twice, one half after the other,
                as transformers' rotary modules return it. Channels of q and k beyond rotary_dim are left as they are.
            sin: As cos.
            position_ids: (batch, seq): rows of tables (length, rotary_dim) to take, as in transformers 4.35 and
                before. With tables that have a batch axis, which hold these positions already, only the shape is
                checked.
            unsqueeze_dim: The axis of heads in cos and sin: 1 or −3 for (batch, heads, seq), 2 or −2 for (batch, seq,
                heads); one less, counted from the front, for tables without a batch axis.

        Raises:
            RopeConfigError: A shape or a dtype does not fit.
        """
        self._check_tables(q, cos, sin)
        cos, sin = self._rows(cos, sin, position_ids)
        pairs, order = _pairs(cos), _order(cos, unsqueeze_dim)
        return self._rotated(q, k, cos[..., :pairs], sin[..., :pairs], layout="half", order=order)

    def apply_rotary_pos_emb_interleave(
        self, q: Array, k: Array | None, cos: Array, sin: Array, position_ids: Array | None = None,
        unsqueeze_dim: int = 1,
    ) -> tuple[Array, Array | None]:  # fmt: skip
        """Return q and k with their interleaved pairs rotated, and then de-interleaved as DeepSeek's code leaves them.

        Channels (2 i, 2 i + 1) form a pair of the input; in the result they stand at i and i + rotary_dim // 2. See
        `apply_rotary_pos_emb` for arguments.
        """
        self._check_tables(q, cos, sin)
        cos, sin = self._rows(cos, sin, position_ids)
        pairs, order = _pairs(cos), _order(cos, unsqueeze_dim)
        rotated = self._rotated(q, k, cos[..., :pairs], sin[..., :pairs], layout="interleaved", order=order)
        first, second = (None if x is None else self._deinterleaved(x, 2 * pairs) for x in rotated)
        return first, second

    def apply_multimodal_rotary_pos_emb(
        self, q: Array, k: Array | None, cos: Array, sin: Array, mrope_section: Sequence[int], unsqueeze_dim: int = 1
    ) -> tuple[Array, Array | None]:
        """Return q and k rotated by tables of several position axes (Qwen2-VL's M-RoPE).

        Args:
            q: See `apply_rotary_pos_emb`.
            k: See there.
            cos: (axes, batch, seq, rotary_dim), a table for each axis; or (batch, seq, rotary_dim), merged already.
            sin: As cos.
            mrope_section: Pairs of each axis, in order; they add up to rotary_dim // 2.
            unsqueeze_dim: See `apply_rotary_pos_emb`, counted without the first axis.

        Raises:
            RopeConfigError: The sections do not add up, or a shape does not fit.
        """
        self._check_tables(q, cos, sin)
        pairs = _pairs(cos)
        sections = _sections(mrope_section, pairs)
        if len(cos.shape) == 4:
            cos, sin = (self._merged(table, sections) for table in (cos, sin))
        order = _order(cos, unsqueeze_dim)
        return self._rotated(q, k, cos[..., :pairs], sin[..., :pairs], layout="half", order=order)

    def precompute_freqs_cis(self, dim: int, end: int, theta: float = 10_000.0) -> Array:
        """Return cos + i sin for positions 0 … end − 1, complex64 (end, dim // 2): the table of Meta's Llama code.

        Args:
            dim: The width of a head.
            end: How many positions.
            theta: The base of the frequencies.
        """
        if not is_whole(end) or end < 0:
            raise RopeConfigError(f"end must be a whole number >= 0, got {shortened(end)}")
        rope = RopeConfig(head_dim=dim, rotary_dim=dim, base=theta, layout="interleaved")
        return self.rotary(rope).cis(self.ops.arange(0, end, None)[None])[0]

    def apply_rotary_emb(self, xq: Array, xk: Array, freqs_cis: Array) -> tuple[Array, Array | None]:
        """Return xq and xk rotated by complex tables, as Meta's Llama code does.

        Args:
            xq: (batch, seq, heads, head_dim); channels (2 i, 2 i + 1) form a pair.
            xk: As xq, heads may differ.
            freqs_cis: complex64 (seq, head_dim // 2), see `precompute_freqs_cis`.

        Raises:
            RopeConfigError: A shape or a dtype does not fit.
        """
        self._check_arrays(freqs_cis=freqs_cis)
        if not str(freqs_cis.dtype).rpartition(".")[2].startswith("complex"):
            raise RopeConfigError(
                f"freqs_cis must be complex, got {freqs_cis.dtype}; take precompute_freqs_cis, or apply_rotary_pos_emb"
            )
        cos, sin = self.parts(freqs_cis)
        return self._rotated(xq, xk, cos, sin, layout="interleaved", order="bshd")

    def _check_tables(self, q: Array, cos: Array, sin: Array) -> None:
        self._check_arrays(cos=cos, sin=sin)
        if cos.shape != sin.shape:
            raise RopeConfigError(f"cos and sin must have one shape, got {tuple(cos.shape)} and {tuple(sin.shape)}")
        self._check_twice(q, cos, sin)

    def _check_arrays(self, **arrays: Any) -> None:
        for name, array in arrays.items():
            if not self.ops.is_array(array):
                into = conversion(self.ops, name, array)
                raise RopeConfigError(f"{name} must be a {self.ops.framework} array, got {shortened(array)}{into}")

    def _rotated(
        self, q: Array, k: Array | None, cos: Array, sin: Array, *, layout: Layout, order: Order
    ) -> tuple[Array, Array | None]:
        if len(cos.shape) == 2:
            cos, sin = cos[None], sin[None]
        cos, sin = self.ops.float32(cos), self.ops.float32(sin)
        how = {"layout": layout, "order": order, "rotary_dim": 2 * cos.shape[-1]}
        rotated = type(self).rotate(q, k, cos=cos, sin=sin, **how)
        return (rotated, None) if k is None else rotated

    def _rows(self, cos: Array, sin: Array, position_ids: Array | None) -> tuple[Array, Array]:
        """Return the rows of tables at positions, where tables are by position."""
        if position_ids is None:
            return cos, sin
        where, known = integers(self.ops, "position_ids", position_ids, cos, "an integer")
        if len(cos.shape) == 2:
            return self._rows_at(where, known, cos, sin)
        if where.shape[-1:] != cos.shape[-2:-1]:
            got = where.shape[-1] if len(where.shape) else "a single number"
            raise RopeConfigError(f"position_ids must have the {cos.shape[-2]} positions of cos and sin, got {got}")
        return cos, sin

    def _rows_at(self, where: Array, known: NDArray[np.int64] | None, cos: Array, sin: Array) -> tuple[Array, Array]:
        """Return the rows of tables at positions; NaN beyond the tables, where nobody can look without waiting."""
        length = cos.shape[0]
        least, end = self._bounds(where, known)
        if least is not None and end is not None:
            if least < 0 or end > length:
                raise RopeConfigError(
                    f"position_ids must be from 0 to {length - 1}, the rows of cos and sin, got {least} to {end - 1}"
                )
            return cos[where], sin[where]
        inside = (where >= 0) & (where < length)
        index = self.ops.where(inside, where, 0)
        nan = float("nan")
        return self.ops.where(inside[..., None], cos[index], nan), self.ops.where(inside[..., None], sin[index], nan)

    def _bounds(self, where: Array, known: NDArray[np.int64] | None) -> tuple[int | None, int | None]:
        """Return the least position, and the largest + 1; None where the host does not know them."""
        if known is not None:
            return int(known.min(initial=0)), int(known.max(initial=-1)) + 1
        if 0 in where.shape:
            return 0, 0
        rows = self.ops.int64(where).reshape(1, 1, -1)
        ends, starts = self.ops.ends(rows), self.ops.ends(-rows)
        return (None, None) if ends is None or starts is None else (1 - starts[0], ends[0])

    def _merged(self, table: Array, sections: list[int]) -> Array:
        starts = np.cumsum([0, *sections])
        parts = [table[axis % table.shape[0], ..., int(start) : int(start) + size]
                 for axis, (start, size) in enumerate(zip(starts, sections, strict=False))]  # fmt: skip
        return self.concatenate(parts)

    def _deinterleaved(self, x: Array, width: int) -> Array:
        rest = [x[..., width:]] if x.shape[-1] > width else []
        return self.concatenate((x[..., :width:2], x[..., 1:width:2], *rest))


def _sections(mrope_section: Any, pairs: int) -> list[int]:
    """Return the pairs of each axis."""
    whole = is_list(mrope_section) and all(is_whole(one) and one >= 0 for one in mrope_section)
    if not whole or sum(mrope_section) != pairs:
        raise RopeConfigError(
            f"mrope_section must be whole numbers >= 0 that add up to the {pairs} pairs of cos and sin, got "
            f"{shortened(mrope_section)}"
        )
    return [int(section) for section in mrope_section]


def _pairs(cos: Array) -> int:
    width: int = cos.shape[-1]
    if width % 2:
        raise RopeConfigError(f"cos and sin must have an even width, each angle twice, got {width}")
    return width // 2


def _order(cos: Array, unsqueeze_dim: int) -> Order:
    """Return the order of axes of q and k whose axis of heads tables are unsqueezed for."""
    axes = len(cos.shape)
    if axes not in (2, 3):
        raise RopeConfigError(
            f"cos and sin must be (batch, seq, rotary_dim) or (seq, rotary_dim), got shape {tuple(cos.shape)}"
        )
    orders: dict[int, Order] = {axes - 2: "bhsd", axes - 1: "bshd", -3: "bhsd", -2: "bshd"}
    if not is_whole(unsqueeze_dim) or unsqueeze_dim not in orders:
        raise RopeConfigError(
            f"unsqueeze_dim must be {axes - 2} or -3 for (batch, heads, seq, head_dim), {axes - 1} or -2 for "
            f"(batch, seq, heads, head_dim), got {shortened(unsqueeze_dim)}"
        )
    return orders[unsqueeze_dim]
