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
        return self.replace(text)

    def replace(self, text):
        """Return the text with the mistake in it, if it has the place."""
        return text.replace(self.old, self.new)


def table(text):
    """Return the mistakes of a table: a line `name: old → new` for each."""
    rows = (line.strip().split(": ", 1) for line in text.strip().splitlines())
    return [Mutant(name, *(part.strip() for part in change.split("→"))) for name, change in rows]


TRITON = table("""
    sign: _negative(x2 * s) → x2 * s
    not fused: tl.fma(x1, s, x2 * c) → x1 * s + x2 * c
    quadrant of cos: (quadrant + 1) & 2) → quadrant & 2)
    quadrants not rounded: (phase + 0x20000000) >> 30 → phase >> 30
    digit of the polynomial: 0.079675905 → 0.079675805
    position cut to 32 bits: position = tl.load(at) → position = tl.load(at).to(tl.int32)
    product cut to 32 bits: position * turn → (position * turn).to(tl.uint32).to(tl.int64)
    gain on cos alone: return c * gain, s * gain → return c * gain, s
    gain of the first table: tl.load(gains + table) → tl.load(gains)
    turns of the first table: turns + table * PAIRS → turns + table * 0
    axis ignored: at + axis * strides[0] → at + axis * 0
    row and step exchanged: row * strides[1] + step → step * strides[1] + row
    sin with a stride of cos: row * sin_strides[0] → row * cos_strides[0]
    not transposed: s = _negative(s) → s = s
    mask of heads dropped: (head < HEADS) → (head < HEADS + BLOCK)
    mask of pairs dropped: exists & (pair < PAIRS) → exists & (pair < LANES)
    mask of channels dropped: exists & (channel < 2 * PAIRS) → exists & (channel < 2 * LANES)
    k with the strides of q: k, k_out, k_strides, k_out_strides, row → k, k_out, q_strides, k_out_strides, row
    k out as k: k, k_out, k_strides, k_out_strides, row → k, k_out, k_strides, k_strides, row
    k starts where q does: K_WIDTH, K_START, K_BLOCK, K_COPY, → K_WIDTH, Q_START, K_BLOCK, K_COPY,
    rest not copied: if COPY and WIDTH > 2 * PAIRS → if COPY and WIDTH > 4 * PAIRS
    rest copied from the wrong side: 0 if START > 0 → 0 if START >= 0
    every head the first: head * x_strides[2] → head * 0 * x_strides[2]
    offset in 32 bits: source = x + row * x → source = x + row.to(tl.int32) * x
""")
_WRONG_BITS = table("""
    sign: -(x2 * angle.s) → x2 * angle.s
    not fused: metal::fma(x1, angle.s, x2 * angle.c) → x1 * angle.s + x2 * angle.c
    quadrant of cos: (quadrant + 1u) & 2u → quadrant & 2u
    digit of the polynomial: 0.079675905f → 0.079675805f
    position cut to 32 bits: int64_t(positions[at]) → int64_t(int(positions[at]))
    lower half of the product: uint64_t(turns)) >> 32) → uint64_t(turns)))
    gain on cos alone: angle.s = angle.s * gains[table] → angle.s = angle.s * 1.0f
    turns of the first table: turns[table * PAIRS + pair] → turns[pair]
    axis ignored: axis * positions_strides[0] → 0 * axis
    row and step exchanged: positions_strides[0] + row * → positions_strides[0] + step *
    sin with a stride of cos: row * sin_strides[0] → row * cos_strides[0]
    not transposed: angle.s = -angle.s → angle.s = +angle.s
    bfloat cut off: bits + 0x7fffu + ((bits >> 16) & 1u) → bits
    bfloat ties away: bits + 0x7fffu + ((bits >> 16) & 1u) → bits + 0x8000u
    heads by the axis of tokens: head * q_strides[HEAD_AXIS] → head * q_strides[SEQ_AXIS]
    k with a stride of q: step * k_strides[SEQ_AXIS] → step * q_strides[SEQ_AXIS]
    k out with a stride of k: step * k_out_strides[SEQ_AXIS] → step * k_strides[SEQ_AXIS]
    one head too many: first + HEADS_PER_THREAD : Q_HEADS; → first + HEADS_PER_THREAD : Q_HEADS + 1;
    rest not copied: rest < Q_REST_END → rest < Q_REST
    rest of k not copied: rest < K_REST_END → rest < K_REST
    second member in the wrong place: (INTERLEAVED ? 1 : PAIRS) → (INTERLEAVED ? 1 : PAIRS - 1)
""")
_FAR = table("""
    offset in 32 bits: from = row * q_strides[0] → from = int(row) * int(q_strides[0])
""")
_NO_METAL = table("""
    double: const float z = t * t → const double z = t * t
    double in a number: -0.0045922888f → -0.0045922888
    std: metal::fma(t, → std::fma(t,
    unknown function: metal::fma(t, → metal::fused(t,
    undeclared name: const float z = t * t → const float z = t * u
    argument missing: rope_turn(x1, x2, angle) → rope_turn(x1, x2)
    as_type of another size: as_type<uint>(value) → as_type<ushort>(value)
    value not set: y.first = metal::fma(x1, angle.c, -(x2 * angle.s)); → float a; y.first = a;
    nothing returned: return angle; →
    long long: const int64_t pair → const long long pair
    goto: return angle; → goto end; end: return angle;
    lambda: const float z = t * t → const auto f = [](float v) { return v * v; }; const float z = f(t)
    static variable: rope_pair y; → static rope_pair y;
    global variable: struct rope_pair → float shared_value = 1.0f; struct rope_pair
    recursion: return as_type<float>( → return sign > 2u ? rope_flip(value, 0u) : as_type<float>(
    pointer without an address space: return angle; → float* p = &angle.c; *p = 0.0f; return angle;
""")
_MPS = table("""
    write to a constant: device float* q_out → const device float* q_out
    buffer twice: [[buffer(1)]] → [[buffer(0)]]
    unknown attribute: [[thread_position_in_grid]] → [[thread_position_in_gird]]
""")
# Address spaces, which g++ does not know.
_MPS_CLANG = table("""
    address spaces mixed: int(thread_position_in_grid.y); → *(const device int*)q_strides;
""")
_MLX_CLANG = table("""
    small input taken for a device's: = angle.c * gains[table] → = *(const device float*)gains
""")
# In CUDA alone a grid ends with whole blocks.
_CUDA = table("""
    threads past the last token: if (token >= seq * uint(q_shape[0])) { return; } →
""")


def shared(host, compiler):
    """Return the mistakes that a host's proof must find with this compiler."""
    clang = "clang" in compiler
    return {
        "mps": [*_WRONG_BITS, *_FAR, *_NO_METAL, *_MPS, *(_MPS_CLANG if clang else ())],
        "mlx": _MLX_CLANG if clang else [],
        "cuda": _CUDA,
    }[host]
