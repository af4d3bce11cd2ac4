/* The rows of a tile: where they lie, and in which order they are rotated. */
#include "angles.h"
#include "row.h"

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

INLINE Row next(Row row, Loop by) { return (Row){row.x + by.x, row.y + by.y, row.cos + by.cos, row.sin + by.sin}; }

INLINE CosSin angles_of_row(Row row, uint32_t sign) { return (CosSin){(const float *)row.cos, (const float *)row.sin, sign}; }

/* How a run through memory goes: steps from row to row; how many heads share a step, and how far they lie apart; and how far
 * behind lies what to ask memory for, 0 for none. */
typedef struct {
    Loop by;
    int at_once;
    int64_t x_next, y_next;
    int64_t ahead;
} Run;

/* Rows without gaps: the loop in which the time goes. */
INLINE void rotate_run(Dtype dtype, Layout layout, Row row, Run run, int count, int64_t pairs, uint32_t sign) {
    for (int64_t j = 0; j < run.by.count; j++, row = next(row, run.by)) {
        const Rows rows = {row.x, row.y, run.x_next, run.y_next};
        for (int h = 0; run.ahead && h < count; h++)
            for (int64_t i = 0; i < 2 * pairs * size_of(dtype); i += 64)
                __builtin_prefetch(row.x + h * run.x_next + run.ahead + i, 0, 2);
        rotate_dense(dtype, layout, rows, count, angles_of_row(row, sign), pairs);
    }
}

/* A function for each dtype and layout, which knows the commonest widths: head_dim 64, 128 and 256. It takes pointers, for a
 * struct that was just stored in parts waits to be loaded whole. */
typedef void RotateRun(const Row *row, const Run *run, int64_t pairs, uint32_t sign);
#define ROTATE_RUN(name, dtype, layout, count) \
    static __attribute__((noinline)) void name(const Row *row, const Run *run, int64_t pairs, uint32_t sign) { \
        switch (pairs) { \
        case 32: rotate_run(dtype, layout, *row, *run, count, 32, sign); break; \
        case 64: rotate_run(dtype, layout, *row, *run, count, 64, sign); break; \
        case 128: rotate_run(dtype, layout, *row, *run, count, 128, sign); break; \
        default: rotate_run(dtype, layout, *row, *run, count, pairs, sign); \
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

/* Rows of any strides, and the channels that do not rotate. */
static void rotate_rows(const Job *job, const Heads *h, Row row, Run run) {
    const int64_t pairs = job->pairs;
    if (row.x != row.y && (h->before || h->after)) { /* in place it is already there */
        Row still = row;
        for (int64_t j = 0; j < run.by.count; j++, still = next(still, run.by))
            for (int i = 0; i < run.at_once; i++)
                copy_rest(h->dtype, h, pairs, still.x + i * run.x_next, still.y + i * run.y_next);
    }
    row.x += h->before * h->in.channel, row.y += h->before * h->out.channel;
    if (is_dense(h)) {
        rotate_by[h->dtype][job->layout][run.at_once > 1](&row, &run, pairs, job->flip);
        return;
    }
    const Steps in = steps(job->layout, h->in.channel, pairs), out = steps(job->layout, h->out.channel, pairs);
    for (int64_t j = 0; j < run.by.count; j++, row = next(row, run.by))
        rotate_strided(h->dtype, row.x, in, row.y, out, angles_of_row(row, job->flip), pairs);
}

/* `count` heads from `first` on, `at_once` together, in the order in which they lie in memory. */
static void rotate_heads(const Job *job, const Heads *h, Tile tile, Angles angles, int64_t first, int64_t count, int at_once) {
    const char *x = h->x + tile.batch * h->in.batch + tile.first * h->in.seq + first * h->in.head;
    char *y = h->y + tile.batch * h->out.batch + tile.first * h->out.seq + first * h->out.head;
    const Loop heads = {count / at_once, at_once * h->in.head, at_once * h->out.head, 0, 0};
    const Loop tokens = {tile.last - tile.first, h->in.seq, h->out.seq, angles.cos_seq, angles.sin_seq};
    const bool tokens_outside = h->in.seq > h->in.head || tokens.count == 1;
    const Loop outer = tokens_outside ? tokens : heads, inner = tokens_outside ? heads : tokens;
    /* Where the next run does not follow this one in memory, the processor's own guesses start anew. */
    const bool follows = outer.x == inner.count * inner.x;
    Row row = {x, y, angles.cos, angles.sin};
    for (int64_t i = 0; i < outer.count; i++, row = next(row, outer)) {
        const int64_t ahead = job->far && !follows && i + 1 < outer.count ? outer.x : 0;
        rotate_rows(job, h, row, (Run){inner, at_once, h->in.head, h->out.head, ahead});
    }
}

/* A tile of one tensor. */
static void rotate_tensor(const Job *job, const Heads *h, Tile tile, Angles angles) {
    const int64_t first = h->heads * tile.part / job->parts, last = h->heads * (tile.part + 1) / job->parts;
    const int64_t whole = is_dense(h) ? (last - first) / AT_ONCE * AT_ONCE : 0;
    if (whole) rotate_heads(job, h, tile, angles, first, whole, AT_ONCE);
    if (first + whole < last) rotate_heads(job, h, tile, angles, first + whole, last - first - whole, 1);
}

static void rotate_tile(const Job *job, Tile tile, float *scratch) {
    const Angles angles =
        job->from_phase ? computed_angles(&job->phase, tile, job->pairs, scratch) : given_angles(&job->table, tile);
    for (const Heads *h = job->heads; h < job->heads + job->tensors; h++)
        if (tile.batch < h->batch) rotate_tensor(job, h, tile, angles);
}
