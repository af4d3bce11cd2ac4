/* What one call asks for, and what an instruction-set variant offers. */
#ifndef TIGHTROPE_JOB_H
#define TIGHTROPE_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What rotates; what positions are; anything else. */
typedef enum { FLOAT32, BFLOAT16, FLOAT16, INT32, INT64, OTHER } Dtype;
typedef enum { HALF, INTERLEAVED } Layout;

/* Steps from one element to the next, in bytes. */
typedef struct {
    int64_t batch, head, seq, channel;
} Strides;

/* q or k: where it is read and where it is written, both at the first channel of the first row. In place: the same. */
typedef struct {
    Dtype dtype;
    const char *x;
    char *y;
    Strides in, out;
    int64_t batch, heads;
    int64_t before, after; /* channels that do not rotate, on either side of those that do */
} Heads;

/* cos and sin, given: rows of float32, `pairs` side by side. Strides in bytes; 0 broadcasts over the batch. */
typedef struct {
    const char *cos, *sin;
    int64_t cos_batch, cos_seq, sin_batch, sin_seq;
} Table;

/* cos and sin, to be computed from positions (precision "exact"): phase = turns[row, pair] · position[axis, b, s] mod 2⁶⁴.
 *
 * Positions stand in memory, or count on from the first of a row. Strides in bytes; 0 where one entry serves the whole batch. */
typedef struct {
    const char *positions; /* int64 if wide, else int32 */
    bool wide;
    int64_t axis, batch, seq;
    uint64_t step; /* from token to token, added to what stands in memory: 1 where that is the first of a row, else 0 */
    int64_t start; /* that first position, where it was given as a number */
    const uint64_t *turns; /* (tables, pairs), in 2⁻⁶⁴ of a turn per position */
    const float *gains;    /* (tables,), the attention factor of each */
    const char *rows;      /* (batch,) int32, the table of each batch row; NULL: the first */
    int64_t rows_batch;
    const int32_t *axes; /* (pairs,), the position axis of each pair; NULL: the first */
} Phase;

typedef struct Job Job;

/* The tokens [first, last) of one batch row, in one part of the heads: a piece of work. */
typedef struct {
    int64_t batch, first, last, part;
} Tile;

/* How many tiles have been taken of one thread's share; as wide as a cache line, so that threads do not disturb each other. */
typedef struct {
    _Atomic int64_t taken;
    char apart[56];
} Share;

/* Does one tile; `scratch` has room for its cos and sin. */
typedef void Work(const Job *job, Tile tile, float *scratch);

struct Job {
    Work *work;
    Layout layout;
    uint32_t flip; /* the sign bit of sin: set to rotate by the transposed matrix */
    int64_t batch, seq, pairs;
    bool from_phase;
    Phase phase;
    Table table; /* given angles, or where computed ones are written */
    Heads heads[2];
    int tensors;
    bool far; /* larger than the caches: worth asking for rows ahead */
    int64_t tokens; /* of a tile, at most */
    int64_t parts;  /* into which the heads of each tensor are divided */
    int threads;    /* that may work, the calling one included */
    Share *shares;  /* one for each thread */
    float *scratch; /* 2 · tokens · pairs for each thread */
};

typedef struct {
    const char *name;
    bool (*runs_here)(void);
    Work *rotate;  /* rotates heads[0 .. tensors) */
    Work *cos_sin; /* fills table from phase */
} Variant;

extern const Variant avx512bf16_variant, avx512_variant, avx2_variant, neon_variant;

/* Once, before the first job: looks for threads that exist already, and prepares for forks. */
void find_threads(void);

/* Runs the job and returns when all of it is done. */
void run_job(Job *job);

#endif
