"""What the C kernel must get right besides the shared cases, and how it is called with them."""

from itertools import product

import numpy as np

from proofs.cases import Case
from tightrope.rope import reference

# Pairs beyond a block of angles, tokens beyond a tile, vectors and a rest of every width in both directions.
MORE = [
    Case(pairs=100, q_width=208, k_width=200, axes=3, tables=2, high=2**40, seq=2),
    Case(pairs=100, q_width=208, k_width=200, layout="interleaved", dtype="bfloat16", side="tail", seq=2),
    Case(seq=70, strides="bhsd", dtype="float16", gain=1.5),
    Case(seq=70, strides="bhsd", batch=1, source="table"),
    Case(seq=70, strides="mixed", source="table", layout="interleaved"),
    Case(seq=40, strides="channels", dtype="bfloat16", transpose=True, in_place=True),
    Case(pairs=21, transpose=True),
    Case(pairs=21, transpose=True, layout="interleaved", source="table", dtype="float16"),
    # Widths that the row loop knows, and one that it does not, of as many vectors.
    *(Case(pairs=pairs, q_width=2 * pairs, k_width=2 * pairs, dtype="bfloat16", layout=layout, strides="bhsd")
      for pairs, layout in product((32, 64, 96, 128), ("half", "interleaved"))),
    Case(pairs=5, q_width=12, k_width=10),  # heads of fewer pairs than a vector
    Case(seq=0),
]  # fmt: skip


def problem(kernel, case):
    """Return what the kernel does wrong with a case, None where nothing."""
    from proofs.tensors import Call

    def rotate(q, k, q_out, k_out, angles, **how):
        pairs = [(q, q_out)] if k is None else [(q, q_out), (k, k_out)]
        kernel.rotate(*zip(*pairs, strict=True), angles, order="bshd", **how)

    return Call(case).run(rotate)


def apart_tables_problem(kernel):
    """Return the order of axes in which cos and sin that lie differently give wrong bits, None where none does."""
    import torch

    from tightrope.backends.shared.angles import Table

    rng = np.random.default_rng(2)
    x = rng.standard_normal((3, 2, 5, 32)).astype(np.float32)
    cos, sin = rng.standard_normal((2, 3, 5, 16)).astype(np.float32)
    wanted = torch.from_numpy(reference.rotate_bits(x, cos[:, None], sin[:, None], layout="half"))
    wide, rotated = np.zeros((3, 7, 20), np.float32), np.ascontiguousarray(sin.swapaxes(0, 1))
    wide[:, 1:6, 2:18] = cos
    table = Table(cos=torch.from_numpy(wide)[:, 1:6, 2:18], sin=torch.from_numpy(rotated).transpose(0, 1))
    for order, axes in (("bhsd", (0, 1, 2, 3)), ("bshd", (0, 2, 1, 3))):
        given = torch.from_numpy(x).permute(axes).contiguous()
        out = torch.empty_like(given)
        kernel.rotate((given,), (out,), table, layout="half", side="head", order=order, transpose=False)
        if not torch.equal(out, wanted.permute(axes)):
            return order
    return None


def _extremes():
    """cos and sin that meet every corner of rounding: ties, subnormal products, overflow, NaN with any payload."""
    steps = 1 + np.arange(-8, 9) * 2.0**-12
    tiny = np.float32(2.0) ** np.arange(-149, -118)
    patterns = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0xFFC00001, 0x7F7FFFFF, 0x477FF000], np.uint32)
    ties = np.concatenate([1 + np.arange(1, 9) * 2.0**-8, 1 + np.arange(1, 9) * 2.0**-11])
    cos = np.concatenate([steps, tiny, ties]).astype(np.float32)
    cos = np.concatenate([cos, patterns.view(np.float32)])
    return cos, np.roll(cos, 7) * np.float32(0.75)


def rounding_problem(kernel, dtype, layout):
    """Return what comes out wrong where rounding is hard, None where nothing."""
    import torch

    from tightrope.backends.shared.angles import Table

    with np.errstate(invalid="ignore"):
        cos, sin = _extremes()
    values = np.array([1, -1, 3, 0.0078125, 60000, -1e-7, np.inf, np.nan], np.float32)
    rows = np.stack([np.resize(np.roll(values, i), 2 * len(cos)) for i in range(8)])
    x = torch.from_numpy(rows[None, None]).to(getattr(torch, dtype))
    out = torch.empty_like(x)
    table = Table(cos=torch.from_numpy(np.tile(cos, (1, 8, 1))), sin=torch.from_numpy(np.tile(sin, (1, 8, 1))))
    kernel.rotate((x,), (out,), table, layout=layout, side="head", order="bhsd", transpose=False)
    with np.errstate(all="ignore"):
        wanted = reference.rotate_bits(x.float().numpy()[0, 0], cos, sin, layout=layout, dtype=dtype)
    got = out.float().numpy()[0, 0]
    same = (got == wanted) & (np.signbit(got) == np.signbit(wanted)) | (np.isnan(got) & np.isnan(wanted))
    return None if same.all() else f"{got[~same][:4]} instead of {wanted[~same][:4]}"


# x, cos and sin whose difference comes as close to 0 as any: 129 · (2²³ + 1) − 128 · (129 · 2¹⁶ + 1) = 1.
_CLOSE = (2.0**-7 * 129, 1.0), ((2**23 + 1) * 2.0**-23, (129 * 2**16 + 1) * 2.0**-23)
# By what they are multiplied: where a kernel begins to look for subnormal results, and beyond.
_EDGES = [
    *((x, angle, _CLOSE[1]) for x, angle in product((2.0**-33, 2.0**-34), (2.0**-63, 2.0**-64))),
    (1.0, 2.0**-130, (0, 1)), (1.0, 2.0**-130, (1, 0)), (2.0**-100, 0.5, (1, 1)),
    (2.0**-130, 1.0, (1, 1)), (0.0, 1.0, (1, 1)),
]  # fmt: skip
_PLACES = [(0, 0, 0), (1, 2, 17), (3, 0, 40), (4, 1, 63), (2, 2, 80)]


def flushing_problem(kernel, layout):
    """Return the sizes and the place (head, token, pair) where a lone subnormal bfloat16 comes out wrong, else None."""
    import torch

    from tightrope.backends.shared.angles import Table

    pairs = 96
    for (size, angle, (cos, sin)), (head, token, pair), in_place in product(_EDGES, _PLACES, (False, True)):
        x = np.full((1, 5, 3, 2 * pairs), 1.5, np.float32)
        table = np.full((2, 1, 3, pairs), 0.75, np.float32)
        members = (pair, pairs + pair) if layout == "half" else (2 * pair, 2 * pair + 1)
        x[0, head, token, members] = np.multiply(_CLOSE[0], size)
        table[:, 0, token, pair] = np.multiply((cos, sin), angle)
        given = torch.from_numpy(x).to(torch.bfloat16)
        out = given if in_place else torch.empty_like(given)
        angles = Table(cos=torch.from_numpy(table[0]), sin=torch.from_numpy(table[1]))
        kernel.rotate((given,), (out,), angles, layout=layout, side="head", order="bhsd", transpose=False)
        wanted = reference.rotate_bits(x, *table[:, :, None], layout=layout, dtype="bfloat16")
        if not np.array_equal(out.float().numpy(), wanted):
            return size, angle, (head, token, pair)
    return None
