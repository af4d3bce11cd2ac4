/* The rows of a tile: where they lie, and in which order they are rotated. */
#include "angles.h"
#include "row.h"

#ifndef FLUSHES
#define FLUSHES false /* whether what rounds to bfloat16 flushes subnormal numbers to zero */
#endif

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

INLINE Row after(Row row, Loop by, int64_t steps) {
    return (Row){row.x + steps * by.x, row.y + steps * by.y, row.cos + steps * by.cos, row.sin + steps * by.sin};
}

INLINE Row next(Row row, Loop by) { return after(row, by, 1); }

INLINE CosSin angles_of_row(Row row, uint32_t sign) { return (CosSin){(const float *)row.cos, (const float *)row.sin, sign}; }

/* How a run through memory goes: steps from row to row; how many heads share a step, and how far they lie apart; and how far
 * behind lies what to ask memory for, 0 for none. */
typedef struct {
    Loop outer, inner;
    int at_once;
    int64_t x_next, y_next;
    int64_t ahead;
    bool quick; /* as far as the angles tell: see small_angles */
} Run;

/* What is left of an inner loop over bfloat16, from pair `start` of its first row on, where results may be subnormal. */
static __attribute__((noinline)) void rotate_exactly(Layout layout, const Row *first, const Run *run, int64_t left, int64_t start,
                                                     int64_t pairs, uint32_t sign) {
    Row row = *first;
    for (int64_t j = 0; j < left; j++, start = 0, row = next(row, run->inner))
        for (int h = 0; h < run->at_once; h++) {
            const Rows one = {row.x + h * run->x_next, row.y + h * run->y_next, 0, 0};
            rotate_dense(BFLOAT16, layout, one, 1, angles_of_row(row, sign), start, pairs, false);
        }
}

/* Asks memory for the rows that lie `ahead` of these. */
INLINE void prefetch(Rows rows, int count, int64_t ahead, int64_t bytes) {
    for (int h = 0; h < count; h++)
        for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(rows.x + h * rows.x_next + ahead + i, 0, 2);
}

/* Rows without gaps: the loops in which the time goes. Returns how many outer steps are done: it comes back early from those that
 * are not quick, since what must outlast a call within a loop costs each of its rounds a fifth. */
INLINE int64_t rotate_run(Dtype dtype, Layout layout, Row start, Run run, int count, int64_t pairs, uint32_t sign) {
    for (int64_t i = 0; i < run.outer.count; i++, start = next(start, run.outer)) {
        Row row = start;
        for (int64_t j = 0; j < run.inner.count; j++, row = next(row, run.inner)) {
            const Rows rows = {row.x, row.y, run.x_next, run.y_next};
            const CosSin by = angles_of_row(row, sign);
            if (run.ahead && i + 1 < run.outer.count) prefetch(rows, count, run.ahead, 2 * pairs * size_of(dtype));
            const int64_t done = dtype != BFLOAT16 || run.quick ? rotate_dense(dtype, layout, rows, count, by, 0, pairs, true) : 0;
            if (dtype == BFLOAT16 && __builtin_expect(done < pairs, 0)) {
                rotate_exactly(layout, &row, &run, run.inner.count - j, done, pairs, sign);
                return i + 1;
            }
        }
    }
    return run.outer.count;
}

/* A function for each dtype and layout, which knows the commonest widths: head_dim 64, 128 and 256. It takes pointers, for a
 * struct that was just stored in parts waits to be loaded whole. */
typedef int64_t RotateRun(const Row *row, const Run *run, int64_t pairs, uint32_t sign);
#define ROTATE_RUN(name, dtype, layout, count) \
    static __attribute__((noinline)) int64_t name(const Row *row, const Run *run, int64_t pairs, uint32_t sign) { \
        switch (pairs) { \
        case 32: return rotate_run(dtype, layout, *row, *run, count, 32, sign); \
        case 64: return rotate_run(dtype, layout, *row, *run, count, 64, sign); \
        case 128: return rotate_run(dtype, layout, *row, *run, count, 128, sign); \
        default: return rotate_run(dtype, layout, *row, *run, count, pairs, sign); \
        } \
    }
#define ROTATE_RUNS(name, dtype) \
    ROTATE_RUN(name##_half, dtype, HALF, 1) \
    ROTATE_RUN(name##_half_together, dtype, HALF, AT_ONCE) \
    ROTATE_RUN(name##_interleaved, dtype, INTERLEAVED, 1) \
    ROTATE_RUN(name##_interleaved_together, dtype, INTERLEAVED, AT_ONCE)
ROTATE_RUNS(rotate_f32, FLOAT32)
ROTATE_RUNS(rotate_bf16, BFLOAT16)
ROTATE_RUNS(rotate_f16, FLOAT16)
#undef ROTATE_RUNS
#undef ROTATE_RUN

/* By dtype, layout, and whether heads are rotated together. */
#define BY_LAYOUT(name) {{name##_half, name##_half_together}, {name##_interleaved, name##_interleaved_together}}
static RotateRun *const rotate_by[3][2][2] = {[FLOAT32] = BY_LAYOUT(rotate_f32),
                                              [BFLOAT16] = BY_LAYOUT(rotate_bf16),
                                              [FLOAT16] = BY_LAYOUT(rotate_f16)};
#undef BY_LAYOUT

static bool is_dense(const Heads *h) { return h->in.channel == size_of(h->dtype) && h->out.channel == size_of(h->dtype); }

static void copy_still(const Heads *h, Row start, const Run *run, int64_t pairs) {
    for (int64_t i = 0; i < run->outer.count; i++, start = next(start, run->outer)) {
        Row row = start;
        for (int64_t j = 0; j < run->inner.count; j++, row = next(row, run->inner))
            for (int n = 0; n < run->at_once; n++)
                copy_rest(h->dtype, h, pairs, row.x + n * run->x_next, row.y + n * run->y_next);
    }
}

static void rotate_gaps(const Job *job, const Heads *h, Row start, const Run *run) {
    const int64_t pairs = job->pairs;
    const Steps in = steps(job->layout, h->in.channel, pairs), out = steps(job->layout, h->out.channel, pairs);
    for (int64_t i = 0; i < run->outer.count; i++, start = next(start, run->outer)) {
        Row row = start;
        for (int64_t j = 0; j < run->inner.count; j++, row = next(row, run->inner))
            rotate_strided(h->dtype, row.x, in, row.y, out, angles_of_row(row, job->flip), pairs);
    }
}

/* Rows of any strides, and the channels that do not rotate. */
static void rotate_rows(const Job *job, const Heads *h, Row row, Run run) {
    if (row.x != row.y && (h->before || h->after)) copy_still(h, row, &run, job->pairs); /* in place it is already there */
    row.x += h->before * h->in.channel, row.y += h->before * h->out.channel;
    if (!is_dense(h)) {
        rotate_gaps(job, h, row, &run);
        return;
    }
    RotateRun *const rotate = rotate_by[h->dtype][job->layout][run.at_once > 1];
    while (run.outer.count) {
        const int64_t done = rotate(&row, &run, job->pairs, job->flip);
        row = after(row, run.outer, done), run.outer.count -= done;
    }
}

/* `count` heads from `first` on, `at_once` together, in the order in which they lie in memory. */
static void rotate_heads(const Job *job, const Heads *h, Tile tile, Angles angles, int64_t first, int64_t count, int at_once,
                         bool quick) {
    const char *x = h->x + tile.batch * h->in.batch + tile.first * h->in.seq + first * h->in.head;
    char *y = h->y + tile.batch * h->out.batch + tile.first * h->out.seq + first * h->out.head;
    const Loop heads = {count / at_once, at_once * h->in.head, at_once * h->out.head, 0, 0};
    const Loop tokens = {tile.last - tile.first, h->in.seq, h->out.seq, angles.cos_seq, angles.sin_seq};
    const bool tokens_outside = h->in.seq > h->in.head || tokens.count == 1;
    const Loop outer = tokens_outside ? tokens : heads, inner = tokens_outside ? heads : tokens;
    /* Where the next run does not follow this one in memory, the processor's own guesses start anew. */
    const bool follows = outer.x == inner.count * inner.x;
    const Run run = {outer, inner, at_once, h->in.head, h->out.head, job->far && !follows ? outer.x : 0, quick};
    rotate_rows(job, h, (Row){x, y, angles.cos, angles.sin}, run);
}

/* A tile of one tensor. */
static void rotate_tensor(const Job *job, const Heads *h, Tile tile, Angles angles, bool quick) {
    const int64_t first = h->heads * tile.part / job->parts, last = h->heads * (tile.part + 1) / job->parts;
    const int64_t whole = is_dense(h) ? (last - first) / AT_ONCE * AT_ONCE : 0;
    if (whole) rotate_heads(job, h, tile, angles, first, whole, AT_ONCE, quick);
    if (first + whole < last) rotate_heads(job, h, tile, angles, first + whole, last - first - whole, 1, quick);
}

static void rotate_tile(const Job *job, Tile tile, float *scratch) {
    const Angles angles =
        job->from_phase ? computed_angles(&job->phase, tile, job->pairs, scratch) : given_angles(&job->table, tile);
    const bool quick = !FLUSHES || !small_angles(angles, tile.last - tile.first, job->pairs);
    for (const Heads *h = job->heads; h < job->heads + job->tensors; h++)
        if (tile.batch < h->batch) rotate_tensor(job, h, tile, angles, quick);
}
