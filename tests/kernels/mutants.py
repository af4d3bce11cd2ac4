"""Mistakes to be put into a kernel's text, to see that its tests find them."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """A mistake: `old`, which stands in the text once, becomes `new`."""

    name: str
    old: str
    new: str

    def __str__(self):
        return self.name

    def apply(self, text):
        """Return the text with the mistake in it."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.old!r} occurs {text.count(self.old)} times")
        return text.replace(self.old, self.new)


TRITON = [
    Mutant("sign", "tl.fma(x1, c, -(x2 * s))", "tl.fma(x1, c, x2 * s)"),
    Mutant("not fused", "tl.fma(x1, s, x2 * c)", "x1 * s + x2 * c"),
    Mutant("quadrant of cos", "(quadrant + 1) & 2)", "quadrant & 2)"),
    Mutant("quadrants not rounded", "(phase + 0x20000000) >> 30", "phase >> 30"),
    Mutant("digit of the polynomial", "0.079675905", "0.079675805"),
    Mutant("position cut to 32 bits", "position = tl.load(at)", "position = tl.load(at).to(tl.int32)"),
    Mutant("product cut to 32 bits", "position * turn", "(position * turn).to(tl.uint32).to(tl.int64)"),
    Mutant("gain on cos alone", "return c * gain, s * gain", "return c * gain, s"),
    Mutant("gain of the first table", "tl.load(gains + table)", "tl.load(gains)"),
    Mutant("turns of the first table", "turns + table * PAIRS", "turns + table * 0"),
    Mutant("axis ignored", "at + axis * strides[0]", "at + axis * 0"),
    Mutant("row and step exchanged", "row * strides[1] + step", "step * strides[1] + row"),
    Mutant("sin with a stride of cos", "row * sin_strides[0]", "row * cos_strides[0]"),
    Mutant("not transposed", "        s = -s\n", "        s = s\n"),
    Mutant("mask of heads dropped", "(head < HEADS)", "(head < HEADS + BLOCK)"),
    Mutant("mask of pairs dropped", "exists & (pair < PAIRS)", "exists & (pair < LANES)"),
    Mutant("mask of channels dropped", "exists & (channel < 2 * PAIRS)", "exists & (channel < 2 * LANES)"),
    Mutant(
        "k with the strides of q", "k, k_out, k_strides, k_out_strides, row", "k, k_out, q_strides, k_out_strides, row"
    ),
    Mutant("k out as k", "k, k_out, k_strides, k_out_strides, row", "k, k_out, k_strides, k_strides, row"),
    Mutant("k starts where q does", "K_WIDTH, K_START, K_BLOCK, K_COPY,", "K_WIDTH, Q_START, K_BLOCK, K_COPY,"),
    Mutant("rest not copied", "if COPY and WIDTH > 2 * PAIRS", "if COPY and WIDTH > 4 * PAIRS"),
    Mutant("rest copied from the wrong side", "0 if START > 0", "0 if START >= 0"),
    Mutant("every head the first", "head * x_strides[2]", "head * 0 * x_strides[2]"),
]
