/* The rows of a tile: where they lie, and in which order they are turned. */
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

/* Rows without gaps: the loop in which the time goes. `ahead`: how far behind each row lies the one to ask memory for, 0 for
 * none; between runs through memory the processor's own guesses start anew. */
INLINE void rotate_run(Dtype dtype, Layout layout, Row row, Loop by, int64_t pairs, uint32_t sign, int64_t ahead) {
    for (int64_t j = 0; j < by.count; j++, row = next(row, by)) {
        for (int64_t i = 0; ahead && i < 2 * pairs * size_of(dtype); i += 64) __builtin_prefetch(row.x + ahead + i);
        rotate_dense(dtype, layout, row.x, row.y, angles_of_row(row, sign), pairs);
    }
}

/* A function for each dtype and layout, which knows the commonest widths: head_dim 64, 128 and 256. It takes pointers, for a
 * struct that was just stored in parts waits to be loaded whole. */
typedef void RotateRun(const Row *row, const Loop *by, int64_t pairs, uint32_t sign, int64_t ahead);
#define ROTATE_RUN(name, dtype, layout) \
    static __attribute__((noinline)) void name(const Row *row, const Loop *by, int64_t pairs, uint32_t sign, int64_t ahead) { \
        switch (pairs) { \
        case 32: rotate_run(dtype, layout, *row, *by, 32, sign, ahead); break; \
        case 64: rotate_run(dtype, layout, *row, *by, 64, sign, ahead); break; \
        case 128: rotate_run(dtype, layout, *row, *by, 128, sign, ahead); break; \
        default: rotate_run(dtype, layout, *row, *by, pairs, sign, ahead); \
        } \
    }
ROTATE_RUN(rotate_f32_half, FLOAT32, HALF)
ROTATE_RUN(rotate_f32_interleaved, FLOAT32, INTERLEAVED)
ROTATE_RUN(rotate_bf16_half, BFLOAT16, HALF)
ROTATE_RUN(rotate_bf16_interleaved, BFLOAT16, INTERLEAVED)
ROTATE_RUN(rotate_f16_half, FLOAT16, HALF)
ROTATE_RUN(rotate_f16_interleaved, FLOAT16, INTERLEAVED)
#undef ROTATE_RUN

static RotateRun *const rotate_by[3][2] = {[FLOAT32] = {rotate_f32_half, rotate_f32_interleaved},
                                           [BFLOAT16] = {rotate_bf16_half, rotate_bf16_interleaved},
                                           [FLOAT16] = {rotate_f16_half, rotate_f16_interleaved}};

/* Rows of any strides, and the channels that do not turn. */
static void rotate_rows(const Job *job, const Heads *h, Row row, Loop by, int64_t ahead) {
    const int64_t pairs = job->pairs, size = size_of(h->dtype);
    if (row.x != row.y && (h->before || h->after)) { /* in place it is already there */
        Row still = row;
        for (int64_t j = 0; j < by.count; j++, still = next(still, by)) copy_rest(h->dtype, h, pairs, still.x, still.y);
    }
    row.x += h->before * h->in.channel, row.y += h->before * h->out.channel;
    if (h->in.channel == size && h->out.channel == size) {
        rotate_by[h->dtype][job->layout](&row, &by, pairs, job->flip, ahead);
        return;
    }
    const Steps in = steps(job->layout, h->in.channel, pairs), out = steps(job->layout, h->out.channel, pairs);
    for (int64_t j = 0; j < by.count; j++, row = next(row, by))
        rotate_strided(h->dtype, row.x, in, row.y, out, angles_of_row(row, job->flip), pairs);
}

/* A tile of one tensor, in the order in which it lies in memory. */
static void rotate_heads(const Job *job, const Heads *h, Tile tile, Angles angles) {
    const int64_t first = h->heads * tile.part / job->parts, last = h->heads * (tile.part + 1) / job->parts;
    const char *x = h->x + tile.batch * h->in.batch + tile.first * h->in.seq + first * h->in.head;
    char *y = h->y + tile.batch * h->out.batch + tile.first * h->out.seq + first * h->out.head;
    const Loop heads = {last - first, h->in.head, h->out.head, 0, 0};
    const Loop tokens = {tile.last - tile.first, h->in.seq, h->out.seq, angles.cos_seq, angles.sin_seq};
    const bool tokens_outside = h->in.seq > h->in.head || tokens.count == 1;
    const Loop outer = tokens_outside ? tokens : heads, inner = tokens_outside ? heads : tokens;
    Row row = {x, y, angles.cos, angles.sin};
    for (int64_t i = 0; i < outer.count; i++, row = next(row, outer))
        rotate_rows(job, h, row, inner, job->far && i + 1 < outer.count ? outer.x : 0);
}

static void rotate_tile(const Job *job, Tile tile, float *scratch) {
    const Angles angles =
        job->from_phase ? computed_angles(&job->phase, tile, job->pairs, scratch) : given_angles(&job->table, tile);
    for (const Heads *h = job->heads; h < job->heads + job->tensors; h++)
        if (tile.batch < h->batch) rotate_heads(job, h, tile, angles);
}
