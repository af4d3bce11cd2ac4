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

#ifndef OWN_WORDS
/* Words are converted as they are loaded, and rounded as they are stored; see avx512.c for where that is better done apart. */
INLINE LanePair load_words(Layout layout, const char *x) { return layout == HALF ? load_two_bf16(x) : load_pairs_bf16(x); }
INLINE LanePair opened_words(Layout layout, LanePair words) { return words; }
INLINE LanePair closed_words(Layout layout, LanePair v, bool quick) { return v; }
INLINE void store_words(Layout layout, char *y, LanePair words) {
    layout == HALF ? store_two_bf16(y, words) : store_pairs_bf16(y, words);
}
INLINE bool small_words(const LanePair *v, const LanePair *w, int count) { return false; }
#endif

/* 2 · LANES elements, side by side: in layout half one member each of as many pairs, else LANES pairs, their first members and
 * their second ones. As memory holds them; opened to be rotated; closed again, `quick` where no bfloat16 is subnormal; stored. */
INLINE LanePair fetch(Dtype dtype, Layout layout, const char *x) {
    if (dtype == BFLOAT16) return load_words(layout, x);
    if (layout == HALF) return (LanePair){load(dtype, x), load(dtype, x + LANES * size_of(dtype))};
    return dtype == FLOAT32 ? load_pairs_f32(x) : load_pairs_f16(x);
}

INLINE LanePair opened(Dtype dtype, Layout layout, LanePair v) { return dtype == BFLOAT16 ? opened_words(layout, v) : v; }

INLINE LanePair closed(Dtype dtype, Layout layout, LanePair v, bool quick) {
    return dtype == BFLOAT16 ? closed_words(layout, v, quick) : v;
}

INLINE void put(Dtype dtype, Layout layout, char *y, LanePair v) {
    if (dtype == BFLOAT16)
        store_words(layout, y, v);
    else if (layout == HALF)
        store(dtype, y, v.first), store(dtype, y + LANES * size_of(dtype), v.second);
    else if (dtype == FLOAT32)
        store_pairs_f32(y, v);
    else
        store_pairs_f16(y, v);
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
    const LanePair v = rotated(opened(dtype, HALF, fetch(dtype, HALF, few)), angles_at((CosSin){cos, sin, by.sign}, 0));
    put(dtype, HALF, few, closed(dtype, HALF, v, false));
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

/* Of `count` rows, LANES pairs from the i-th on: rotated, and stored. */
INLINE void rotate_one(Dtype dtype, Layout layout, Rows rows, int count, Steps at, CosSin by, int64_t i, LanePair *v) {
    const LanePair angles = angles_at(by, i);
    UNROLL for (int j = 0; j < count; j++) {
        const char *from = rows.x + j * rows.x_next + i * at.next;
        v[j] = layout == HALF ? (LanePair){load(dtype, from), load(dtype, from + at.second)}
                              : opened(dtype, layout, fetch(dtype, layout, from));
    }
    UNROLL for (int j = 0; j < count; j++) v[j] = rotated(v[j], angles);
}

INLINE void put_one(Dtype dtype, Layout layout, Rows rows, int count, Steps at, int64_t i, const LanePair *v) {
    UNROLL for (int j = 0; j < count; j++) {
        char *to = rows.y + j * rows.y_next + i * at.next;
        if (layout == HALF)
            store(dtype, to, v[j].first), store(dtype, to + at.second, v[j].second);
        else
            put(dtype, layout, to, closed(dtype, layout, v[j], false));
    }
}

/* Rotates 2 · LANES pairs of `count` rows, all read before any is written. Returns false, nothing done, where it is asked to be
 * `quick` and a bfloat16 may be subnormal. */
INLINE bool rotate_block(Dtype dtype, Layout layout, Rows rows, int count, Steps at, CosSin by, int64_t i, bool quick) {
    const int64_t second = layout == HALF ? at.second : LANES * at.next;
    const LanePair low = angles_at(by, i), high = angles_at(by, i + LANES);
    LanePair v[AT_ONCE], w[AT_ONCE];
    UNROLL for (int j = 0; j < count; j++) {
        const char *from = rows.x + j * rows.x_next + i * at.next;
        v[j] = fetch(dtype, layout, from), w[j] = fetch(dtype, layout, from + second);
    }
    if (dtype == BFLOAT16 && quick && __builtin_expect(small_words(v, w, count), 0)) return false;
    UNROLL for (int j = 0; j < count; j++) {
        const LanePair x = opened(dtype, layout, v[j]), y = opened(dtype, layout, w[j]);
        const LanePair a = rotated(layout == HALF ? (LanePair){x.first, y.first} : x, low);
        const LanePair b = rotated(layout == HALF ? (LanePair){x.second, y.second} : y, high);
        v[j] = closed(dtype, layout, layout == HALF ? (LanePair){a.first, b.first} : a, quick);
        w[j] = closed(dtype, layout, layout == HALF ? (LanePair){a.second, b.second} : b, quick);
    }
    UNROLL for (int j = 0; j < count; j++) {
        char *to = rows.y + j * rows.y_next + i * at.next;
        put(dtype, layout, to, v[j]), put(dtype, layout, to + second, w[j]);
    }
    return true;
}

/* The pairs of each row from `start` on, up to `pairs`, a multiple of LANES; see rotate_dense. */
INLINE int64_t rotate_vectors(Dtype dtype, Layout layout, Rows rows, int count, CosSin by, Steps at, int64_t start, int64_t pairs, bool quick) {
    int64_t i = start;
    for (; i + 2 * LANES <= pairs; i += 2 * LANES)
        if (!rotate_block(dtype, layout, rows, count, at, by, i, quick)) return i;
    if (i < pairs) {
        LanePair v[AT_ONCE];
        rotate_one(dtype, layout, rows, count, at, by, i, v);
        put_one(dtype, layout, rows, count, at, i, v);
    }
    return pairs;
}

/* Rows without gaps, from pair `start` on. Where their pairs fill no whole number of vectors, the last vector reaches back into the
 * one before it, and so is read before that is written: x and y may be the same.
 *
 * Returns `pairs`, or where it is asked to be `quick` and stopped at a bfloat16 that may be subnormal: from there on nothing is
 * written. */
INLINE int64_t rotate_dense(Dtype dtype, Layout layout, Rows rows, int count, CosSin by, int64_t start, int64_t pairs, bool quick) {
    const Steps at = steps(layout, size_of(dtype), pairs);
    const int64_t rest = pairs % LANES;
    LanePair last[AT_ONCE];
    if (pairs < LANES) {
        for (int j = 0; j < count; j++)
            rotate_few(dtype, rows.x + j * rows.x_next, at, rows.y + j * rows.y_next, at, by, pairs);
        return pairs;
    }
    if (rest) rotate_one(dtype, layout, rows, count, at, by, pairs - LANES, last);
    const int64_t done = rotate_vectors(dtype, layout, rows, count, by, at, start, pairs - rest, quick);
    if (done < pairs - rest) return done;
    if (rest) put_one(dtype, layout, rows, count, at, pairs - LANES, last);
    return pairs;
}
