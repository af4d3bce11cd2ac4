/* The rotation of rows, written once. A variant defines its vectors (Lanes, LANES, mul, mul_add, mul_sub, flip) and how they
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

INLINE LanePair rotated(LanePair x, LanePair cos_sin) {
    const Lanes cos = cos_sin.first, sin = cos_sin.second;
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

/* The angles of a row, and the sign bit that rotates it back. */
typedef struct {
    const float *cos, *sin;
    uint32_t sign;
} CosSin;

/* Those of LANES pairs: cos and sin. */
INLINE LanePair angles_at(CosSin by, int64_t i) {
    return (LanePair){load_f32(by.cos + i), flip(load_f32(by.sin + i), by.sign)};
}

/* Rotates at most LANES pairs that do not fill a vector or do not lie side by side: through buffers, by the same arithmetic. */
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
    store_two(dtype, few, rotated(load_two(dtype, few), angles_at((CosSin){cos, sin, by.sign}, 0)));
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

#ifndef OWN_BF16
/* Rounding by integers is exact everywhere; see avx512.c for an instruction that is not. */
INLINE bool flushed(const LanePair *first, const LanePair *second, int count) { return first == second && count < 0; }
INLINE void store_two_bf16_quickly(char *y, LanePair v) { store_two_bf16(y, v); }
INLINE void store_pairs_bf16_quickly(char *y, LanePair v) { store_pairs_bf16(y, v); }
#endif

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 4")
#endif

/* Rows without gaps that share their angles, heads of one token: where the first lies, and the step from each to the next.
 *
 * At most AT_ONCE are rotated together, with cos and sin in registers, and each block of them is read before any is written:
 * heads often lie a multiple of 4 KiB apart, and a processor that compares 12 bits of an address takes the load of the next
 * head for one of what was just stored. */
typedef struct {
    const char *x;
    char *y;
    int64_t x_next, y_next;
} Rows;

/* Of `count` rows, LANES pairs from the i-th on, rotated; and stored. */
INLINE void rotate_one(Dtype dtype, Layout layout, Rows rows, int count, Steps at, CosSin by, int64_t i, LanePair *v) {
    const LanePair angles = angles_at(by, i);
    UNROLL for (int j = 0; j < count; j++) {
        const char *from = rows.x + j * rows.x_next + i * at.next;
        v[j] = layout == HALF ? (LanePair){load(dtype, from), load(dtype, from + at.second)} : load_pairs(dtype, from);
    }
    UNROLL for (int j = 0; j < count; j++) v[j] = rotated(v[j], angles);
}

INLINE void put_one(Dtype dtype, Layout layout, Rows rows, int count, Steps at, int64_t i, const LanePair *v) {
    const bool quick = dtype == BFLOAT16 && layout == INTERLEAVED && !flushed(v, v, count);
    UNROLL for (int j = 0; j < count; j++) {
        char *to = rows.y + j * rows.y_next + i * at.next;
        if (layout == HALF)
            store(dtype, to, v[j].first), store(dtype, to + at.second, v[j].second);
        else if (quick)
            store_pairs_bf16_quickly(to, v[j]);
        else
            store_pairs(dtype, to, v[j]);
    }
}

/* Twice as many in layout half, whole registers at a time: rotated, and stored. */
INLINE void rotate_two(Dtype dtype, Rows rows, int count, Steps at, CosSin by, int64_t i) {
    const LanePair low = angles_at(by, i), high = angles_at(by, i + LANES);
    LanePair first[AT_ONCE], second[AT_ONCE];
    UNROLL for (int j = 0; j < count; j++) {
        const char *from = rows.x + j * rows.x_next + i * at.next;
        first[j] = load_two(dtype, from), second[j] = load_two(dtype, from + at.second);
    }
    UNROLL for (int j = 0; j < count; j++) {
        const LanePair a = rotated((LanePair){first[j].first, second[j].first}, low);
        const LanePair b = rotated((LanePair){first[j].second, second[j].second}, high);
        first[j] = (LanePair){a.first, b.first}, second[j] = (LanePair){a.second, b.second};
    }
    const bool quick = dtype == BFLOAT16 && !flushed(first, second, count);
    UNROLL for (int j = 0; j < count; j++) {
        char *to = rows.y + j * rows.y_next + i * at.next;
        if (quick)
            store_two_bf16_quickly(to, first[j]), store_two_bf16_quickly(to + at.second, second[j]);
        else
            store_two(dtype, to, first[j]), store_two(dtype, to + at.second, second[j]);
    }
}

/* The first `pairs` pairs of each row, a multiple of LANES. */
INLINE void rotate_vectors(Dtype dtype, Layout layout, Rows rows, int count, Steps at, CosSin by, int64_t pairs) {
    int64_t i = 0;
    if (layout == HALF)
        for (; i + 2 * LANES <= pairs; i += 2 * LANES) rotate_two(dtype, rows, count, at, by, i);
    for (; i < pairs; i += LANES) {
        LanePair v[AT_ONCE];
        rotate_one(dtype, layout, rows, count, at, by, i, v);
        put_one(dtype, layout, rows, count, at, i, v);
    }
}

/* Rows without gaps. Where their pairs fill no whole number of vectors, the last vector reaches back into the one before it, and
 * so is read before that is written: x and y may be the same. */
INLINE void rotate_dense(Dtype dtype, Layout layout, Rows rows, int count, CosSin by, int64_t pairs) {
    const Steps at = steps(layout, size_of(dtype), pairs);
    const int64_t rest = pairs % LANES;
    LanePair last[AT_ONCE];
    if (pairs < LANES) {
        for (int j = 0; j < count; j++)
            rotate_few(dtype, rows.x + j * rows.x_next, at, rows.y + j * rows.y_next, at, by, pairs);
        return;
    }
    if (rest) rotate_one(dtype, layout, rows, count, at, by, pairs - LANES, last);
    rotate_vectors(dtype, layout, rows, count, at, by, pairs - rest);
    if (rest) put_one(dtype, layout, rows, count, at, pairs - LANES, last);
}
