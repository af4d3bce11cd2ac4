/* The rotation of one row, written once. A variant defines its vectors (Lanes, LANES, mul, mul_add, mul_sub, flip) and how they
 * are loaded and stored (load_…, store_… of each dtype), then includes rotate.h.
 *
 *     y1 = fma(x1, cos, −fl(x2 · sin))          y2 = fma(x1, sin, fl(x2 · cos))          rounded once, to nearest even
 *
 * The bits are those of rope/reference.py: rotate_bits. */
#include <string.h>

#include "job.h"

INLINE int64_t size_of(Dtype dtype) { return dtype == FLOAT32 ? 4 : 2; }

/* LANES elements, side by side. */
INLINE Lanes load(Dtype dtype, const char *x) {
    switch (dtype) {
    case FLOAT32: return load_f32(x);
    case BFLOAT16: return load_bf16(x);
    default: return load_f16(x);
    }
}

INLINE void store(Dtype dtype, char *y, Lanes v) {
    switch (dtype) {
    case FLOAT32: store_f32(y, v); break;
    case BFLOAT16: store_bf16(y, v); break;
    default: store_f16(y, v);
    }
}

/* Twice as many: what bfloat16 is rounded and stored by. */
INLINE LanePair load_two(Dtype dtype, const char *x) {
    if (dtype == BFLOAT16) return load_two_bf16(x);
    return (LanePair){load(dtype, x), load(dtype, x + LANES * size_of(dtype))};
}

INLINE void store_two(Dtype dtype, char *y, LanePair v) {
    if (dtype == BFLOAT16)
        store_two_bf16(y, v);
    else
        store(dtype, y, v.first), store(dtype, y + LANES * size_of(dtype), v.second);
}

/* The same memory as LANES pairs: their first members, their second ones. */
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

/* The angles of a row, and the sign bit that turns it back. */
typedef struct {
    const float *cos, *sin;
    uint32_t sign;
} CosSin;

INLINE LanePair turn_by(LanePair x, CosSin by, int64_t i) {
    return turn(x, load_f32(by.cos + i), flip(load_f32(by.sin + i), by.sign));
}

/* Turns at most LANES pairs that do not fill a vector or do not lie side by side: through buffers, by the same arithmetic. */
static __attribute__((noinline)) void rotate_few(Dtype dtype, const char *x, Steps in, char *y, Steps out, CosSin by,
                                                 int64_t count) {
    const int64_t size = size_of(dtype), second = size * LANES;
    char few[LANES * 8] = {0};
    float cos[LANES] = {0}, sin[LANES] = {0};
    for (int64_t i = 0; i < count; i++) {
        copy_element(dtype, few + i * size, x + i * in.next);
        copy_element(dtype, few + i * size + second, x + i * in.next + in.second);
        cos[i] = by.cos[i], sin[i] = by.sin[i];
    }
    store_two(dtype, few, turn_by(load_two(dtype, few), (CosSin){cos, sin, by.sign}, 0));
    for (int64_t i = 0; i < count; i++) {
        copy_element(dtype, y + i * out.next, few + i * size);
        copy_element(dtype, y + i * out.next + out.second, few + i * size + second);
    }
}

/* Any strides: a vector's worth at a time. */
static void rotate_strided(Dtype dtype, const char *x, Steps in, char *y, Steps out, CosSin by, int64_t pairs) {
    for (int64_t i = 0; i < pairs; i += LANES) {
        const CosSin here = {by.cos + i, by.sin + i, by.sign};
        rotate_few(dtype, x + i * in.next, in, y + i * out.next, out, here, pairs - i < LANES ? pairs - i : LANES);
    }
}

/* LANES pairs from the i-th on, which lie without gaps: turned, and stored. */
INLINE LanePair turned(Dtype dtype, Layout layout, const char *x, Steps at, CosSin by, int64_t i) {
    const char *from = x + i * at.next;
    if (layout == HALF) return turn_by((LanePair){load(dtype, from), load(dtype, from + at.second)}, by, i);
    return turn_by(load_pairs(dtype, from), by, i);
}

INLINE void put(Dtype dtype, Layout layout, char *y, Steps at, int64_t i, LanePair v) {
    char *to = y + i * at.next;
    if (layout == HALF)
        store(dtype, to, v.first), store(dtype, to + at.second, v.second);
    else
        store_pairs(dtype, to, v);
}

/* Twice as many in layout half, whole registers at a time. */
INLINE void rotate_two(Dtype dtype, const char *x, char *y, Steps at, CosSin by, int64_t i) {
    const char *from = x + i * at.next;
    char *to = y + i * at.next;
    const LanePair first = load_two(dtype, from), second = load_two(dtype, from + at.second);
    const LanePair low = turn_by((LanePair){first.first, second.first}, by, i);
    const LanePair high = turn_by((LanePair){first.second, second.second}, by, i + LANES);
    store_two(dtype, to, (LanePair){low.first, high.first});
    store_two(dtype, to + at.second, (LanePair){low.second, high.second});
}

/* The first `count` pairs of a row without gaps, a multiple of LANES. */
INLINE void rotate_vectors(Dtype dtype, Layout layout, const char *x, char *y, Steps at, CosSin by, int64_t count) {
    int64_t i = 0;
    if (layout == HALF)
        for (; i + 2 * LANES <= count; i += 2 * LANES) rotate_two(dtype, x, y, at, by, i);
    for (; i < count; i += LANES) put(dtype, layout, y, at, i, turned(dtype, layout, x, at, by, i));
}

/* A row without gaps. Where its pairs fill no whole number of vectors, the last vector reaches back into the one before it, and
 * so is read before that is written: x and y may be the same. */
INLINE void rotate_dense(Dtype dtype, Layout layout, const char *x, char *y, CosSin by, int64_t pairs) {
    const Steps at = steps(layout, size_of(dtype), pairs);
    const int64_t rest = pairs % LANES;
    if (pairs < LANES) {
        rotate_few(dtype, x, at, y, at, by, pairs);
    } else if (rest) {
        const LanePair last = turned(dtype, layout, x, at, by, pairs - LANES);
        rotate_vectors(dtype, layout, x, y, at, by, pairs - rest);
        put(dtype, layout, y, at, pairs - LANES, last);
    } else {
        rotate_vectors(dtype, layout, x, y, at, by, pairs);
    }
}
