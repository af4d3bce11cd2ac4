"""A case as MLX arrays: any strides that transposing, slicing and broadcasting give."""

import mlx.core as mx
import numpy as np

from proofs.cases import expected, inputs
from tightrope.backends.shared.angles import Phase, Table

ORDERS = {"bshd": "bshd", "bhsd": "bhsd", "mixed": "bshd", "channels": "bhsd"}


class Call:
    """A case, ready to be given to MLX's rotation."""

    def __init__(self, case):
        self.case, self.given = case, inputs(case)
        self.order = "thd" if case.batch == 1 else ORDERS[case.strides]
        self.q, self.k = self._placed(self.given.q, "q"), self._placed(self.given.k, "k")

    def _placed(self, values, which):
        if values is None:
            return None
        place = getattr(self, f"_{self.case.strides}")
        return place(mx.array(values).astype(getattr(mx, self.case.dtype)), which)

    def _bshd(self, x, which):
        return x[0] if self.order == "thd" else x

    def _bhsd(self, x, which):
        return mx.contiguous(mx.swapaxes(x, 1, 2))

    def _mixed(self, x, which):
        """q as a slice of a fused projection, k padded and transposed."""
        if which == "q":
            return mx.concatenate([x, x, x], axis=2)[:, :, : x.shape[2]]
        padded = mx.concatenate([mx.swapaxes(x, 1, 2)] * 2, axis=-1)
        return mx.swapaxes(padded[..., : x.shape[-1]], 1, 2)

    def _channels(self, x, which):
        """The channels themselves lie apart."""
        return mx.swapaxes(mx.repeat(mx.swapaxes(x, 1, 3), 2, axis=2)[:, :, ::2], 1, 2).transpose(0, 1, 3, 2)

    def angles(self):
        """Return the angles as the case says."""
        given = self.given
        if self.case.source == "table":
            return Table(cos=_apart(given.cos), sin=mx.swapaxes(_apart(given.sin.swapaxes(0, 1)), 0, 1))
        optional = {name: None if (v := getattr(given, name)) is None else mx.array(v) for name in ("rows", "axes")}
        positions, turns, gains = _apart(given.positions), mx.array(given.turns), mx.array(given.gains)
        return Phase(positions=positions, turns=turns, attention_factors=gains, **optional)

    def run(self, rotate):
        """Call MLX's launch function; return what is wrong, None where nothing is."""
        case = self.case
        how = {"layout": case.layout, "side": case.side, "transpose": case.transpose, "order": self.order}
        results = rotate(self.q, self.k, self.angles(), **how)
        for name, result, values in zip(("q", "k"), results, expected(case, self.given), strict=True):
            if values is not None and (problem := self._difference(result, values)):
                return f"{name}: {problem}"
        return None

    def run_angles(self, cos_sin):
        """Call MLX's launch function for the angles alone; return what is wrong, None where nothing is."""
        table = cos_sin(self.angles())
        for name, part, values in (("cos", table.cos, self.given.cos), ("sin", table.sin, self.given.sin)):
            if not np.array_equal(np.array(part), values):
                return f"{name}: {(np.array(part) != values).sum()} elements differ"
        return None

    def _difference(self, result, values):
        if self.order == "bhsd":
            result = mx.swapaxes(result, 1, 2)
        if self.order == "thd":
            values = values[0]
        here = np.array(result.astype(mx.float32))
        same = (here == values) & (np.signbit(here) == np.signbit(values)) | (np.isnan(here) & np.isnan(values))
        return None if same.all() else f"{(~same).sum()} of {same.size} elements differ"


def _apart(array):
    """Return the array as one whose elements do not lie side by side."""
    return mx.array(np.repeat(array, 2, axis=-1))[..., ::2]
