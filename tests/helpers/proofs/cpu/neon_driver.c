/* Runs one job on the NEON kernel: reads it from the standard input, writes the rotated tensor to the standard output.
 *
 * Thirteen int64 (the enum below, filled by test_native_neon.py), then x, then positions, turns, gains, rows and axes, or cos and sin;
 * everything contiguous, x as (batch, heads, seq, width). */
#include <stdio.h>
#include <stdlib.h>

#include "job.h"

static void *taken(size_t bytes) {
    void *memory = malloc(bytes + 1);
    if (fread(memory, 1, bytes, stdin) != bytes) exit(2);
    return memory;
}

enum { DTYPE, LAYOUT, TRANSPOSE, BEFORE, AFTER, BATCH, HEADS, SEQ, PAIRS, FROM_PHASE, AXES, TABLES, THREADS, LENGTH };

int main(void) {
    const int64_t *h = taken(LENGTH * 8);
    const int64_t size = h[DTYPE] == FLOAT32 ? 4 : 2, width = h[BEFORE] + 2 * h[PAIRS] + h[AFTER], tokens = h[BATCH] * h[SEQ];
    const size_t bytes = tokens * h[HEADS] * width * size;
    char *x = taken(bytes), *y = malloc(bytes);
    const Strides strides = {h[HEADS] * h[SEQ] * width * size, h[SEQ] * width * size, width * size, size};
    Job job = {.work = neon_variant.rotate, .layout = h[LAYOUT], .flip = h[TRANSPOSE] ? 1u << 31 : 0, .batch = h[BATCH],
               .seq = h[SEQ], .pairs = h[PAIRS], .from_phase = h[FROM_PHASE], .tensors = 1, .tokens = 3,
               .parts = h[FROM_PHASE] ? 1 : h[THREADS], .threads = (int)h[THREADS]};
    job.heads[0] = (Heads){h[DTYPE], x, y, strides, strides, h[BATCH], h[HEADS], h[BEFORE], h[AFTER]};
    if (job.from_phase) {
        char *positions = taken(8 * h[AXES] * tokens);
        job.phase = (Phase){positions, true, 8 * tokens, 8 * h[SEQ], 8, taken(8 * h[TABLES] * h[PAIRS]), taken(4 * h[TABLES]),
                            taken(4 * h[BATCH]), 4, taken(4 * h[PAIRS])};
    } else {
        const int64_t row = 4 * h[PAIRS];
        const char *cos = taken(tokens * row), *sin = taken(tokens * row);
        job.table = (Table){cos, sin, h[SEQ] * row, row, h[SEQ] * row, row};
    }
    job.scratch = malloc(h[THREADS] * 2 * job.tokens * h[PAIRS] * sizeof(float));
    job.shares = calloc(h[THREADS], sizeof(Share));
    find_threads();
    run_job(&job);
    return fwrite(y, 1, bytes, stdout) != bytes;
}
