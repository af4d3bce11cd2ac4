/* cos and sin of a tile: given, or computed from exact phases. The bits are those of rope/reference.py: sincos_phase. */
#include <stdint.h>
#include <string.h>

#include "job.h"

/* cos and sin of a tile: its first row, and the step from token to token in bytes. */
typedef struct {
    const char *cos, *sin;
    int64_t cos_seq, sin_seq;
} Angles;

/* cos and sin of a phase in 2⁻³² turns.
 *
 * The two highest bits, rounded, choose the quadrant; the rest, within ±1/8 turn, becomes t in quarter turns. */
INLINE void sincos_phase(uint32_t phase, float *cos, float *sin) {
    const uint32_t quadrant = (phase + (1u << 29)) >> 30;
    const float t = (float)(int32_t)(phase - (quadrant << 30)) * 0x1p-30f;
    const float z = t * t;
    float tail = __builtin_fmaf(z, -0.0045922888f, 0.079675905f);
    tail = __builtin_fmaf(__builtin_fmaf(tail, z, -0.64596295f), z, -6.542104e-08f);
    const float sine = __builtin_fmaf(t, 1.57079637f, t * tail);
    float cosine = __builtin_fmaf(z, 0.0009040216f, -0.020860288f);
    cosine = __builtin_fmaf(__builtin_fmaf(cosine, z, 0.25366923f), z, -1.2337005f);
    cosine = __builtin_fmaf(cosine, z, 1.0f);
    uint32_t sine_bits, cosine_bits;
    memcpy(&sine_bits, &sine, 4), memcpy(&cosine_bits, &cosine, 4);
    const uint32_t swap = (quadrant & 1) ? sine_bits ^ cosine_bits : 0;
    const uint32_t s = (sine_bits ^ swap) ^ (quadrant & 2) << 30;
    const uint32_t c = (cosine_bits ^ swap) ^ ((quadrant + 1) & 2) << 30;
    memcpy(sin, &s, 4), memcpy(cos, &c, 4);
}

/* Unsigned: a negative position wraps to the same product modulo 2⁶⁴. */
INLINE uint64_t position_of(const Phase *p, int64_t axis, int64_t batch, int64_t s) {
    const char *at = p->positions + axis * p->axis + batch * p->batch + s * p->seq;
    return (p->wide ? (uint64_t)(*(const int64_t *)at) : (uint64_t)(int64_t)(*(const int32_t *)at)) + p->step * (uint64_t)s;
}

/* The position that rotates each of the `count` pairs from `start` on. */
INLINE void positions_of(const Phase *p, Tile tile, int64_t s, int64_t start, int64_t count, uint64_t *position) {
    if (p->axes) {
        for (int64_t i = 0; i < count; i++) position[i] = position_of(p, p->axes[start + i], tile.batch, s);
    } else {
        const uint64_t common = position_of(p, 0, tile.batch, s);
        for (int64_t i = 0; i < count; i++) position[i] = common;
    }
}

enum { BLOCK = 64 };

/* cos and sin of one token, attention factor in. */
static void angles_of(const Phase *p, Tile tile, int64_t s, int64_t pairs, float *cos, float *sin) {
    const int64_t row = p->rows ? *(const int32_t *)(p->rows + tile.batch * p->rows_batch) : 0;
    const uint64_t *turns = p->turns + row * pairs;
    const float gain = p->gains[row];
    for (int64_t start = 0; start < pairs; start += BLOCK) {
        const int64_t count = pairs - start < BLOCK ? pairs - start : BLOCK;
        uint64_t position[BLOCK];
        float c[BLOCK], n[BLOCK];
        positions_of(p, tile, s, start, count, position);
        for (int64_t i = 0; i < count; i++) sincos_phase((uint32_t)((turns[start + i] * position[i]) >> 32), &c[i], &n[i]);
        for (int64_t i = 0; i < count; i++) cos[start + i] = c[i] * gain;
        for (int64_t i = 0; i < count; i++) sin[start + i] = n[i] * gain;
    }
}

static Angles given_angles(const Table *t, Tile tile) {
    const char *cos = t->cos + tile.batch * t->cos_batch + tile.first * t->cos_seq;
    const char *sin = t->sin + tile.batch * t->sin_batch + tile.first * t->sin_seq;
    return (Angles){cos, sin, t->cos_seq, t->sin_seq};
}

static Angles computed_angles(const Phase *p, Tile tile, int64_t pairs, float *scratch) {
    const int64_t row = 2 * pairs;
    for (int64_t s = tile.first; s < tile.last; s++) {
        float *cos = scratch + (s - tile.first) * row;
        angles_of(p, tile, s, pairs, cos, cos + pairs);
    }
    return (Angles){(const char *)scratch, (const char *)(scratch + pairs), 4 * row, 4 * row};
}

/* Whether some cos or sin is below 2⁻⁶³, 0 excepted, so that a bfloat16 that it rotates may become subnormal.
 *
 * With words of 2⁻³³ and more, which have 7 bits behind the first one, and angles that have 23, products, and so results, are
 * multiples of 2⁻³³⁻⁷ · 2⁻⁶³⁻²³ = 2⁻¹²⁶, the smallest normal number. */
static bool small_angles(Angles angles, int64_t tokens, int64_t pairs) {
    const uint32_t limit = (127 - 63) << 23;
    uint32_t found = 0;
    for (int64_t s = 0; s < tokens; s++) {
        const char *cos = angles.cos + s * angles.cos_seq, *sin = angles.sin + s * angles.sin_seq;
        for (int64_t i = 0; i < 4 * pairs; i += 4) {
            uint32_t c, n;
            memcpy(&c, cos + i, 4), memcpy(&n, sin + i, 4);
            found |= ((c & 0x7fffffff) - 1 < limit - 1) | ((n & 0x7fffffff) - 1 < limit - 1);
        }
    }
    return found;
}

static void cos_sin_tile(const Job *job, Tile tile, float *scratch) {
    (void)scratch;
    const Angles to = given_angles(&job->table, tile);
    for (int64_t s = tile.first; s < tile.last; s++) {
        float *cos = (float *)(to.cos + (s - tile.first) * to.cos_seq), *sin = (float *)(to.sin + (s - tile.first) * to.sin_seq);
        angles_of(&job->phase, tile, s, job->pairs, cos, sin);
    }
}
