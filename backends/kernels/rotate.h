/* The rotation, written once. A variant defines its vectors (Lanes, LANES, load_…, store_…, mul, mul_add, mul_sub, flip), then includes this.
 *
 *     y1 = fma(x1, cos, −fl(x2 · sin))          y2 = fma(x1, sin, fl(x2 · cos))          rounded once, to nearest even
 *
 * The bits are those of rope/reference.py: rotate_bits. */
#include "angles.h"

INLINE int64_t size_of(Dtype dtype) { return dtype == FLOAT32 ? 4 : 2; }

INLINE LanePair load_split(Dtype dtype, const char *x, int64_t second) {
    switch (dtype) {
    case FLOAT32: return (LanePair){load_f32(x), load_f32(x + second)};
    case BFLOAT16: return load_split_bf16(x, second);
    default: return load_split_f16(x, second);
    }
}

INLINE void store_split(Dtype dtype, char *y, int64_t second, LanePair v) {
    switch (dtype) {
    case FLOAT32: store_f32(y, v.first), store_f32(y + second, v.second); break;
    case BFLOAT16: store_split_bf16(y, second, v); break;
    default: store_split_f16(y, second, v);
    }
}

INLINE LanePair load_pairs(Dtype dtype, const char *x) {
    switch (dtype) {
    case FLOAT32: return load_pairs_f32(x);
    case BFLOAT16: return load_pairs_bf16(x);
    default: return load_pairs_f16(x);
    }
}

INLINE void store_pairs(Dtype dtype, char *y, LanePair v) {
    switch (dtype) {
    case FLOAT32: store_pairs_f32(y, v); break;
    case BFLOAT16: store_pairs_bf16(y, v); break;
    default: store_pairs_f16(y, v);
    }
}

INLINE LanePair turn(LanePair x, Lanes cos, Lanes sin) {
    return (LanePair){mul_sub(x.first, cos, mul(x.second, sin)), mul_add(x.first, sin, mul(x.second, cos))};
}

/* Where the pairs of a row lie: from one pair to the next, and from its first member to its second, in bytes. */
typedef struct {
    int64_t next, second;
} Steps;

INLINE Steps steps(Layout layout, int64_t channel, int64_t pairs) {
    return layout == HALF ? (Steps){channel, pairs * channel} : (Steps){2 * channel, channel};
}

INLINE void copy_element(Dtype dtype, char *to, const char *from) {
    if (dtype == FLOAT32)
        memcpy(to, from, 4);
    else
        memcpy(to, from, 2);
}

/* Turns at most LANES pairs that do not fill a vector or do not lie side by side: through buffers, by the same arithmetic. */
static __attribute__((noinline)) void rotate_few(Dtype dtype, const char *x, Steps in, char *y, Steps out, const float *cos,
                                                 const float *sin, uint32_t sign, int64_t count) {
    const int64_t size = size_of(dtype), second = size * LANES;
    char few[LANES * 8] = {0};
    float c[LANES] = {0}, s[LANES] = {0};
    for (int64_t i = 0; i < count; i++) {
        copy_element(dtype, few + i * size, x + i * in.next);
        copy_element(dtype, few + i * size + second, x + i * in.next + in.second);
        c[i] = cos[i], s[i] = sin[i];
    }
    store_split(dtype, few, second, turn(load_split(dtype, few, second), load_f32(c), flip(load_f32(s), sign)));
    for (int64_t i = 0; i < count; i++) {
        copy_element(dtype, y + i * out.next, few + i * size);
        copy_element(dtype, y + i * out.next + out.second, few + i * size + second);
    }
}

/* Any strides: a vector's worth at a time. */
static __attribute__((noinline)) void rotate_strided(Dtype dtype, const char *x, Steps in, char *y, Steps out, const float *cos,
                                                     const float *sin, uint32_t sign, int64_t pairs) {
    for (int64_t i = 0; i < pairs; i += LANES) {
        const int64_t count = pairs - i < LANES ? pairs - i : LANES;
        rotate_few(dtype, x + i * in.next, in, y + i * out.next, out, cos + i, sin + i, sign, count);
    }
}

/* A row without gaps. */
INLINE void rotate_dense(Dtype dtype, Layout layout, const char *x, char *y, const float *cos, const float *sin, uint32_t sign,
                         int64_t pairs) {
    const Steps at = steps(layout, size_of(dtype), pairs);
    int64_t i = 0;
    for (; i + LANES <= pairs; i += LANES) {
        const char *from = x + i * at.next;
        char *to = y + i * at.next;
        const Lanes c = load_f32(cos + i), s = flip(load_f32(sin + i), sign);
        if (layout == HALF)
            store_split(dtype, to, at.second, turn(load_split(dtype, from, at.second), c, s));
        else
            store_pairs(dtype, to, turn(load_pairs(dtype, from), c, s));
    }
    if (i < pairs) rotate_few(dtype, x + i * at.next, at, y + i * at.next, at, cos + i, sin + i, sign, pairs - i);
}

INLINE void copy_channels(Dtype dtype, const char *x, int64_t x_channel, char *y, int64_t y_channel, int64_t count) {
    const int64_t size = size_of(dtype);
    if (x_channel == size && y_channel == size) {
        memcpy(y, x, count * size);
        return;
    }
    for (int64_t i = 0; i < count; i++) copy_element(dtype, y + i * y_channel, x + i * x_channel);
}

/* Channels before and after the rotated ones keep their bits. */
INLINE void copy_rest(Dtype dtype, const Heads *h, int64_t pairs, const char *x, char *y) {
    const int64_t behind = h->before + 2 * pairs;
    if (h->before) copy_channels(dtype, x, h->in.channel, y, h->out.channel, h->before);
    if (h->after)
        copy_channels(dtype, x + behind * h->in.channel, h->in.channel, y + behind * h->out.channel, h->out.channel, h->after);
}

/* Asks for the row that comes one outer step later: between its runs through memory the processor's own guesses start anew. */
INLINE void prefetch(const char *x, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(x + i);
}

/* Where a row is read and written, and its angles. */
typedef struct {
    const char *x;
    char *y;
    const char *cos, *sin;
} Row;

/* One of the two loops over the rows of a tile: how often, and what it adds to a row. */
typedef struct {
    int64_t count, x, y, cos, sin;
} Loop;

INLINE Row next(Row row, Loop by) { return (Row){row.x + by.x, row.y + by.y, row.cos + by.cos, row.sin + by.sin}; }

INLINE void rotate_rows(Dtype dtype, Layout layout, bool dense, const Job *job, const Heads *heads, Row start, Loop outer,
                        Loop inner) {
    const Heads h = *heads; /* a copy, which no store through y can change */
    const int64_t pairs = job->pairs, x_start = h.before * h.in.channel, y_start = h.before * h.out.channel;
    const Steps in = steps(layout, h.in.channel, pairs), out = steps(layout, h.out.channel, pairs);
    const bool far = job->far, rest = start.x != start.y && (h.before || h.after); /* in place it is already there */
    const uint32_t flip = job->flip;
    for (int64_t i = 0; i < outer.count; i++, start = next(start, outer)) {
        Row row = start;
        for (int64_t j = 0; j < inner.count; j++, row = next(row, inner)) {
            const float *cos = (const float *)row.cos, *sin = (const float *)row.sin;
            if (far && i + 1 < outer.count) prefetch(row.x + outer.x + x_start, 2 * pairs * size_of(dtype));
            if (rest) copy_rest(dtype, &h, pairs, row.x, row.y);
            if (dense)
                rotate_dense(dtype, layout, row.x + x_start, row.y + y_start, cos, sin, flip, pairs);
            else
                rotate_strided(dtype, row.x + x_start, in, row.y + y_start, out, cos, sin, flip, pairs);
        }
    }
}

/* A tile of one tensor, in the order in which it lies in memory. */
INLINE void rotate_heads(Dtype dtype, Layout layout, const Job *job, const Heads *h, Tile tile, Angles angles) {
    const int64_t first = h->heads * tile.part / job->parts, last = h->heads * (tile.part + 1) / job->parts;
    const char *x = h->x + tile.batch * h->in.batch + tile.first * h->in.seq + first * h->in.head;
    char *y = h->y + tile.batch * h->out.batch + tile.first * h->out.seq + first * h->out.head;
    const Row start = {x, y, angles.cos, angles.sin};
    const Loop heads = {last - first, h->in.head, h->out.head, 0, 0};
    const Loop tokens = {tile.last - tile.first, h->in.seq, h->out.seq, angles.cos_seq, angles.sin_seq};
    const bool tokens_outside = h->in.seq > h->in.head;
    const Loop outer = tokens_outside ? tokens : heads, inner = tokens_outside ? heads : tokens;
    if (h->in.channel == size_of(dtype) && h->out.channel == size_of(dtype))
        rotate_rows(dtype, layout, true, job, h, start, outer, inner);
    else
        rotate_rows(dtype, layout, false, job, h, start, outer, inner);
}

/* A function for each dtype and layout: in one for all, the compiler would run out of registers for the innermost loop. */
typedef void RotateHeads(const Job *job, const Heads *h, Tile tile, Angles angles);
#define ROTATE_HEADS(name, dtype, layout) \
    static __attribute__((noinline)) void name(const Job *job, const Heads *h, Tile tile, Angles angles) { \
        rotate_heads(dtype, layout, job, h, tile, angles); \
    }
ROTATE_HEADS(rotate_f32_half, FLOAT32, HALF)
ROTATE_HEADS(rotate_f32_interleaved, FLOAT32, INTERLEAVED)
ROTATE_HEADS(rotate_bf16_half, BFLOAT16, HALF)
ROTATE_HEADS(rotate_bf16_interleaved, BFLOAT16, INTERLEAVED)
ROTATE_HEADS(rotate_f16_half, FLOAT16, HALF)
ROTATE_HEADS(rotate_f16_interleaved, FLOAT16, INTERLEAVED)
#undef ROTATE_HEADS

static RotateHeads *const rotate_by[3][2] = {[FLOAT32] = {rotate_f32_half, rotate_f32_interleaved},
                                             [BFLOAT16] = {rotate_bf16_half, rotate_bf16_interleaved},
                                             [FLOAT16] = {rotate_f16_half, rotate_f16_interleaved}};

static void rotate_tile(const Job *job, Tile tile, float *scratch) {
    const Angles angles =
        job->from_phase ? computed_angles(&job->phase, tile, job->pairs, scratch) : given_angles(&job->table, tile);
    for (const Heads *h = job->heads; h < job->heads + job->tensors; h++)
        if (tile.batch < h->batch) rotate_by[h->dtype][job->layout](job, h, tile, angles);
}
