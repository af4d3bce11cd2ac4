"""A case as torch tensors on the CPU: any strides, surrounded by values that no kernel may touch."""

import numpy as np
import torch

from proofs.cases import expected, inputs
from tightrope.backends.shared.angles import Phase, Table

# Finite in every dtype, and no result of a rotation.
_UNTOUCHED = -12345.0


class Placed:
    """Values (batch, seq, heads, width) laid into a larger buffer.

    Attributes:
        view: The tensor that a kernel is given, with the strides of that place.
        buffer: All of the memory around it.
    """

    def __init__(self, values, dtype, strides, which):
        batch, seq, heads, width = values.shape
        self.buffer, self.view = getattr(self, f"_{strides}")(batch, seq, heads, width, which, dtype)
        self.view.copy_(torch.from_numpy(np.array(values)))

    def _bshd(self, batch, seq, heads, width, which, dtype):
        buffer = torch.full((batch, seq, heads, width), _UNTOUCHED, dtype=dtype)
        return buffer, buffer.view(buffer.shape)

    def _bhsd(self, batch, seq, heads, width, which, dtype):
        buffer = torch.full((batch, heads, seq, width), _UNTOUCHED, dtype=dtype)
        return buffer, buffer.transpose(1, 2)

    def _mixed(self, batch, seq, heads, width, which, dtype):
        """q as a slice of a fused projection, k padded and transposed, outputs transposed the other way."""
        if which == "q":
            buffer = torch.full((batch, seq, heads + 3, width), _UNTOUCHED, dtype=dtype)
            return buffer, buffer[:, :, 1 : heads + 1]
        if which == "k":
            buffer = torch.full((batch, heads, seq, width + 8), _UNTOUCHED, dtype=dtype)
            return buffer, buffer[..., :width].transpose(1, 2)
        buffer = torch.full((seq, heads + 1, batch, width + 4), _UNTOUCHED, dtype=dtype)
        return buffer, buffer[:, :heads, :, :width].permute(2, 0, 1, 3)

    def _channels(self, batch, seq, heads, width, which, dtype):
        """The channels themselves lie apart."""
        buffer = torch.full((batch, width, seq, 2 * heads), _UNTOUCHED, dtype=dtype)
        return buffer, buffer[..., ::2].permute(0, 2, 3, 1)

    def difference(self, values):
        """Say where the buffer is not: these values in the view, the rest untouched. None where it is."""
        whole = torch.full_like(self.buffer, _UNTOUCHED)
        whole.as_strided(self.view.shape, self.view.stride(), self.view.storage_offset()).copy_(
            torch.from_numpy(values)
        )
        # As values, so that NaN counts as NaN; the signs of zeros as well.
        here, there = self.buffer.float(), whole.float()
        same = (here == there) & (here.signbit() == there.signbit()) | (here.isnan() & there.isnan())
        if same.all():
            return None
        at = tuple((~same).nonzero()[0].tolist())
        return f"{int((~same).sum())} of {same.numel()} elements differ; at {at} {here[at]} instead of {there[at]}"


class Call:
    """A case, ready to be given to a torch kernel."""

    def __init__(self, case):
        self.case, self.given = case, inputs(case)
        dtype = getattr(torch, case.dtype)
        self.q = Placed(self.given.q, dtype, case.strides, "q")
        self.k = None if self.given.k is None else Placed(self.given.k, dtype, case.strides, "k")
        self.q_out, self.k_out = (x if case.in_place else self._fresh(x) for x in (self.q, self.k))
        self.angles = self._angles()

    def _fresh(self, x):
        if x is None:
            return None
        return Placed(np.zeros(tuple(x.view.shape)), x.view.dtype, self.case.strides, "out")

    def _angles(self):
        given = self.given
        if self.case.source == "table":
            return Table(cos=_apart(given.cos), sin=_apart(given.sin.swapaxes(0, 1)).transpose(0, 1))
        optional = {name: _tensor(getattr(given, name)) for name in ("rows", "axes")}
        positions = _apart(given.positions)
        return Phase(
            positions=positions, turns=_tensor(given.turns), attention_factors=_tensor(given.gains), **optional
        )

    def run(self, rotate):
        """Call a kernel's launch function; return what is wrong, None where nothing is."""
        k, k_out = (None, None) if self.k is None else (self.k.view, self.k_out.view)
        q_out = self.q_out.view
        rotate(
            self.q.view, k, q_out, k_out, self.angles,
            layout=self.case.layout, side=self.case.side, transpose=self.case.transpose,
        )  # fmt: skip
        return self._problem()

    def run_angles(self, cos_sin):
        """Call a kernel's launch function for the angles alone; return what is wrong, None where nothing is."""
        cos, sin = (torch.full(self.given.cos.shape, _UNTOUCHED) for _ in range(2))
        cos_sin(self.angles, cos, sin)
        for name, part, values in (("cos", cos, self.given.cos), ("sin", sin, self.given.sin)):
            if not torch.equal(part, torch.from_numpy(values)):
                return f"{name}: {int((part != torch.from_numpy(values)).sum())} elements differ"
        return None

    def _problem(self):
        after = expected(self.case, self.given)
        before = after if self.case.in_place else (self.given.q, self.given.k)
        checks = {"q": (self.q, before[0]), "k": (self.k, before[1])}
        checks |= {"q_out": (self.q_out, after[0]), "k_out": (self.k_out, after[1])}
        for name, (placed, values) in checks.items():
            if placed is not None and (difference := placed.difference(values)):
                return f"{name}: {difference}"
        return None


def _tensor(array):
    return None if array is None else torch.from_numpy(np.array(array))


def _apart(array):
    """Return the array as a tensor whose elements do not lie side by side."""
    return torch.from_numpy(np.repeat(array, 2, axis=-1))[..., ::2]
