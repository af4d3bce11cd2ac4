"""The rotation as a Triton kernel: q and k in one launch, a program for each token and block of heads.

Bit for bit `rope.reference`: the phase is an integer, every product that is added to something is an explicit fma, and
the result is rounded once. Launched by `triton_launch` alone; Triton is optional, so nothing else imports this.

Pointers that an angle source does not use are None, which Triton specialises on. Strides are in elements, a tuple for
each tensor.
"""

# ruff: noqa: N803 - compile-time constants are written in capitals, as in every Triton kernel

import triton
import triton.language as tl

# Neither the length nor where positions lie changes the code; without this a new length could mean a compilation.
_OPEN = ["seq", "position_strides", "row_stride"]


@triton.jit(do_not_specialize=_OPEN)
def rotate_qk(
    q, q_out, q_strides, q_out_strides, k, k_out, k_strides, k_out_strides,
    positions, position_strides, turns, gains, rows, row_stride, axes, cos, cos_strides, sin, sin_strides, seq,
    PAIRS: tl.constexpr, LANES: tl.constexpr, INTERLEAVED: tl.constexpr, TRANSPOSE: tl.constexpr,
    Q_HEADS: tl.constexpr, Q_WIDTH: tl.constexpr, Q_START: tl.constexpr, Q_BLOCK: tl.constexpr, Q_COPY: tl.constexpr,
    K_HEADS: tl.constexpr, K_WIDTH: tl.constexpr, K_START: tl.constexpr, K_BLOCK: tl.constexpr, K_COPY: tl.constexpr,
):  # fmt: skip
    """Rotate one token's block of heads. Grid: (batch · seq, blocks of q + blocks of k)."""
    token = tl.program_id(0)
    block = tl.program_id(1)
    row = (token // seq).to(tl.int64)
    step = (token % seq).to(tl.int64)
    if cos is None:
        c, s = _computed(positions, position_strides, turns, gains, rows, row_stride, axes, row, step, PAIRS, LANES)
    else:
        c, s = _given(cos, cos_strides, sin, sin_strides, row, step, PAIRS, LANES)
    if TRANSPOSE:
        s = _negative(s)
    q_blocks: tl.constexpr = (Q_HEADS + Q_BLOCK - 1) // Q_BLOCK
    if block < q_blocks:
        _rotate_heads(
            q, q_out, q_strides, q_out_strides, row, step, block, c, s,
            Q_HEADS, Q_WIDTH, Q_START, Q_BLOCK, Q_COPY, PAIRS, LANES, INTERLEAVED,
        )  # fmt: skip
    elif K_HEADS > 0:
        _rotate_heads(
            k, k_out, k_strides, k_out_strides, row, step, block - q_blocks, c, s,
            K_HEADS, K_WIDTH, K_START, K_BLOCK, K_COPY, PAIRS, LANES, INTERLEAVED,
        )  # fmt: skip


@triton.jit(do_not_specialize=_OPEN)
def cos_sin(
    positions, position_strides, turns, gains, rows, row_stride, axes, cos, sin, seq,
    PAIRS: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Write cos and sin of one token, (batch, seq, PAIRS) without gaps. Grid: (batch · seq,)."""
    token = tl.program_id(0)
    row = (token // seq).to(tl.int64)
    step = (token % seq).to(tl.int64)
    c, s = _computed(positions, position_strides, turns, gains, rows, row_stride, axes, row, step, PAIRS, LANES)
    pair = tl.arange(0, LANES)
    at = token.to(tl.int64) * PAIRS + pair
    tl.store(cos + at, c, mask=pair < PAIRS)
    tl.store(sin + at, s, mask=pair < PAIRS)


@triton.jit
def _given(cos, cos_strides, sin, sin_strides, row, step, PAIRS: tl.constexpr, LANES: tl.constexpr):
    """Load cos and sin of one token: float32 (LANES,)."""
    pair = tl.arange(0, LANES)
    within = pair < PAIRS
    c = tl.load(cos + row * cos_strides[0] + step * cos_strides[1] + pair * cos_strides[2], mask=within, other=1.0)
    s = tl.load(sin + row * sin_strides[0] + step * sin_strides[1] + pair * sin_strides[2], mask=within, other=0.0)
    return c, s


@triton.jit
def _computed(
    positions, strides, turns, gains, rows, row_stride, axes, row, step, PAIRS: tl.constexpr, LANES: tl.constexpr
):  # fmt: skip
    """Compute cos and sin of one token from its position and the row's table of turns: float32 (LANES,)."""
    pair = tl.arange(0, LANES)
    within = pair < PAIRS
    table = 0
    if rows is not None:
        table = tl.load(rows + row * row_stride).to(tl.int64)
    turn = tl.load(turns + table * PAIRS + pair, mask=within, other=0)
    at = positions + row * strides[1] + step * strides[2]
    if axes is None:
        position = tl.load(at).to(tl.int64)
    else:
        axis = tl.load(axes + pair, mask=within, other=0).to(tl.int64)
        position = tl.load(at + axis * strides[0], mask=within, other=0).to(tl.int64)
    # The product wraps modulo one turn; its upper half is the phase.
    c, s = _sincos(((position * turn) >> 32).to(tl.uint32))
    gain = tl.load(gains + table)
    return c * gain, s * gain


@triton.jit
def _sincos(phase):
    """Return cos and sin of a phase in 2⁻³² turns; see `rope.reference.sincos_phase`."""
    quadrant = (phase + 0x20000000) >> 30
    t = (phase - (quadrant << 30)).to(tl.int32, bitcast=True).to(tl.float32) * 9.313225746154785e-10  # 2⁻³⁰, exact
    z = t * t
    tail = tl.fma(tl.fma(tl.fma(z, -0.0045922888, 0.079675905), z, -0.64596295), z, -6.542104e-08)
    sine = tl.fma(t, 1.57079637, t * tail)
    cosine = tl.fma(tl.fma(tl.fma(tl.fma(z, 0.0009040216, -0.020860288), z, 0.25366923), z, -1.2337005), z, 1.0)
    odd = (quadrant & 1) != 0
    return _flip(tl.where(odd, sine, cosine), (quadrant + 1) & 2), _flip(tl.where(odd, cosine, sine), quadrant & 2)


@triton.jit
def _flip(value, sign):
    """Negate where bit 1 of sign is set, by the sign bit: also right for zero."""
    return (value.to(tl.uint32, bitcast=True) ^ (sign << 30)).to(tl.float32, bitcast=True)


@triton.jit
def _rotate_heads(
    x, out, x_strides, out_strides, row, step, block, c, s,
    HEADS: tl.constexpr, WIDTH: tl.constexpr, START: tl.constexpr, BLOCK: tl.constexpr, COPY: tl.constexpr,
    PAIRS: tl.constexpr, LANES: tl.constexpr, INTERLEAVED: tl.constexpr,
):  # fmt: skip
    """Rotate BLOCK heads of one token of x into out, which may be x itself."""
    head = block * BLOCK + tl.arange(0, BLOCK)
    exists = (head < HEADS)[:, None]
    head = head.to(tl.int64)[:, None]
    source = x + row * x_strides[0] + step * x_strides[1] + head * x_strides[2]
    target = out + row * out_strides[0] + step * out_strides[1] + head * out_strides[2]
    if INTERLEAVED:
        _rotate_neighbours(source, target, x_strides[3], out_strides[3], exists, c, s, START, PAIRS, LANES, BLOCK)
    else:
        _rotate_halves(source, target, x_strides[3], out_strides[3], exists, c, s, START, PAIRS, LANES)
    if COPY and WIDTH > 2 * PAIRS:
        # What is not rotated lies on one side: behind the head's rotated channels, or before the tail's.
        first: tl.constexpr = 0 if START > 0 else 2 * PAIRS
        _copy(source, target, x_strides[3], out_strides[3], exists, first, WIDTH - 2 * PAIRS, LANES)


@triton.jit
def _rotate_halves(
    source, target, stride, out_stride, exists, c, s, START: tl.constexpr, PAIRS: tl.constexpr, LANES: tl.constexpr
):  # fmt: skip
    """Pairs of channels (i, i + PAIRS)."""
    pair = tl.arange(0, LANES)[None, :]
    mask = exists & (pair < PAIRS)
    first = (START + pair).to(tl.int64)
    second = (START + PAIRS + pair).to(tl.int64)
    x1 = tl.load(source + first * stride, mask=mask, other=0.0)
    x2 = tl.load(source + second * stride, mask=mask, other=0.0)
    y1, y2 = _rotate_pair(x1.to(tl.float32), x2.to(tl.float32), c[None, :], s[None, :])
    tl.store(target + first * out_stride, y1.to(x1.dtype), mask=mask)
    tl.store(target + second * out_stride, y2.to(x2.dtype), mask=mask)


@triton.jit
def _rotate_neighbours(
    source, target, stride, out_stride, exists, c, s,
    START: tl.constexpr, PAIRS: tl.constexpr, LANES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Pairs of channels (2i, 2i + 1), loaded and stored together so that accesses stay wide."""
    channel = tl.arange(0, 2 * LANES)[None, :]
    mask = exists & (channel < 2 * PAIRS)
    channel = (START + channel).to(tl.int64)
    x = tl.load(source + channel * stride, mask=mask, other=0.0)
    x1, x2 = tl.split(tl.reshape(x, [BLOCK, LANES, 2]))
    y1, y2 = _rotate_pair(x1.to(tl.float32), x2.to(tl.float32), c[None, :], s[None, :])
    y = tl.reshape(tl.join(y1.to(x.dtype), y2.to(x.dtype)), [BLOCK, 2 * LANES])
    tl.store(target + channel * out_stride, y, mask=mask)


@triton.jit
def _rotate_pair(x1, x2, c, s):
    return tl.fma(x1, c, _negative(x2 * s)), tl.fma(x1, s, x2 * c)


@triton.jit
def _negative(x):
    """Return −x. Of a minus Triton 3.6 makes 0 − x, which loses the sign of a zero; of this product, a negation."""
    return x * -1.0


@triton.jit
def _copy(
    source, target, stride, out_stride, exists, FIRST: tl.constexpr, COUNT: tl.constexpr, LANES: tl.constexpr
):  # fmt: skip
    """Copy COUNT channels from FIRST on, 2 · LANES at a time."""
    for start in tl.static_range(0, COUNT, 2 * LANES):
        channel = start + tl.arange(0, 2 * LANES)[None, :]
        mask = exists & (channel < COUNT)
        channel = (FIRST + channel).to(tl.int64)
        tl.store(target + channel * out_stride, tl.load(source + channel * stride, mask=mask), mask=mask)
