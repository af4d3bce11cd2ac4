/* The Python module: unpacks tensors, and runs the job without the interpreter's lock. It knows no framework. */
#include "view.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    TILE_TOKENS = 32,            /* their cos and sin stay in the first cache while every head uses them */
    TILES_PER_THREAD = 4,        /* so that a thread that is held up costs little */
    BYTES_PER_THREAD = 256 << 10, /* less is not worth waking one */
    BRIEF_BYTES = 64 << 10,       /* done in microseconds */
    FAR_BYTES = 16 << 20         /* more than the caches keep */
};

/* How Python and this text understand each other; see INTERFACE in backends/kernels/__init__.py. */
enum { INTERFACE = 1 };

static const Variant *variants[3]; /* those that run here, the fastest first */
static int variant_count;

static void find_variants(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (avx512bf16_variant.runs_here()) variants[variant_count++] = &avx512bf16_variant;
    if (avx512_variant.runs_here()) variants[variant_count++] = &avx512_variant;
    if (avx2_variant.runs_here()) variants[variant_count++] = &avx2_variant;
#elif defined(__aarch64__)
    variants[variant_count++] = &neon_variant;
#endif
}

/* Whether the pairs of a table lie side by side; of one or none that is so whatever the stride says. */
static bool readable(const View *part) { return part->dtype == FLOAT32 && (part->strides[2] == 1 || part->shape[2] <= 1); }

/* Both shaped (batch, seq, pairs). */
static bool parse_table(PyObject *const *parts, Job *job) {
    View cos, sin;
    if (!view_of(parts[0], 3, &cos) || !view_of(parts[1], 3, &sin)) return false;
    if (memcmp(cos.shape, sin.shape, sizeof(int64_t[3]))) {
        PyErr_SetString(PyExc_ValueError, "cos and sin must have one shape");
        return false;
    }
    job->batch = cos.shape[0], job->seq = cos.shape[1], job->pairs = cos.shape[2];
    job->table = (Table){.cos = cos.data, .sin = sin.data, .cos_seq = 4 * cos.strides[1], .sin_seq = 4 * sin.strides[1]};
    if (job->batch > 1) job->table.cos_batch = 4 * cos.strides[0], job->table.sin_batch = 4 * sin.strides[0];
    const bool fits = readable(&cos) && readable(&sin) && job->pairs > 0;
    if (!fits) PyErr_SetString(PyExc_ValueError, "cos and sin must be float32, one pair or more, side by side");
    return fits;
}

/* positions (axes, batch, seq); or the first of each row, (batch,) or a number, from which they count on. The number of tokens is
 * then that of the tensors: seq is -1. */
static bool parse_positions(PyObject *given, Job *job) {
    Phase *p = &job->phase;
    if (PyLong_Check(given)) {
        p->start = PyLong_AsLongLong(given);
        p->positions = (const char *)&p->start, p->wide = true, p->step = 1;
        job->batch = 1, job->seq = -1;
        return !PyErr_Occurred();
    }
    View positions;
    if (!view_of(given, ANY_AXES, &positions)) return false;
    const bool first = positions.axes < 2, whole = positions.dtype == INT32 || positions.dtype == INT64;
    const int64_t size = positions.dtype == INT64 ? 8 : 4, *shape = positions.shape, *strides = positions.strides;
    if (!whole) PyErr_SetString(PyExc_TypeError, "positions are int32 or int64");
    if (positions.axes > 3) PyErr_SetString(PyExc_ValueError, "positions have at most 3 axes");
    if (!whole || positions.axes > 3) return false;
    const int rows = positions.axes == 3 ? 1 : 0;
    job->batch = positions.axes ? shape[rows] : 1, job->seq = first ? -1 : shape[rows + 1];
    p->positions = positions.data, p->wide = positions.dtype == INT64, p->step = first;
    p->axis = rows ? size * strides[0] : 0;
    p->batch = job->batch > 1 ? size * strides[rows] : 0;
    p->seq = first ? 0 : size * strides[rows + 1];
    return true;
}

/* Positions, turns (tables, pairs), gains (tables,), rows (batch,) or None, axes (pairs,) or None: see Phase. */
static bool parse_phase(PyObject *const *parts, Job *job) {
    View turns, gains, rows = {0}, axes = {0};
    if (!parse_positions(parts[0], job) || !view_of(parts[1], 2, &turns) || !view_of(parts[2], 1, &gains) ||
        (parts[3] != Py_None && !view_of(parts[3], 1, &rows)) || (parts[4] != Py_None && !view_of(parts[4], 1, &axes)))
        return false;
    if (turns.dtype != INT64 || gains.dtype != FLOAT32 || (rows.data && rows.dtype != INT32) || (axes.data && axes.dtype != INT32)) {
        PyErr_SetString(PyExc_TypeError, "turns are int64, gains float32, rows and axes int32");
        return false;
    }
    job->pairs = turns.shape[1], job->from_phase = true;
    job->phase.turns = turns.data, job->phase.gains = gains.data;
    job->phase.rows = rows.data, job->phase.rows_batch = rows.shape[0] > 1 ? 4 * rows.strides[0] : 0;
    job->phase.axes = axes.data;
    return true;
}

typedef enum { BHSD, BSHD, THD } Order;

static Strides strides_of(const View *x, Order order, int64_t seq, int64_t size) {
    const int64_t *s = x->strides;
    switch (order) {
    case BHSD: return (Strides){size * s[0], size * s[1], size * s[2], size * s[3]};
    case BSHD: return (Strides){size * s[0], size * s[2], size * s[1], size * s[3]};
    default: return (Strides){size * seq * s[0], size * s[1], size * s[0], size * s[2]};
    }
}

/* The angles are in the job already, and packed tokens are laid out as their angles are. */
static bool parse_heads(PyObject *from, PyObject *to, Order order, bool tail, Job *job, Heads *h) {
    View x, y;
    const int axes = order == THD ? 3 : 4;
    if (!view_of(from, axes, &x) || !view_of(to, axes, &y)) return false;
    const int64_t size = x.dtype == FLOAT32 ? 4 : 2, still = x.shape[axes - 1] - 2 * job->pairs;
    const int64_t tokens = order == THD ? x.shape[0] : order == BHSD ? x.shape[2] : x.shape[1];
    if (job->seq < 0) job->seq = tokens;
    *h = (Heads){.dtype = x.dtype,
                 .x = x.data,
                 .y = y.data,
                 .in = strides_of(&x, order, job->seq, size),
                 .out = strides_of(&y, order, job->seq, size),
                 .batch = order == THD ? job->batch : x.shape[0],
                 .heads = x.shape[order == BSHD ? 2 : 1],
                 .before = tail ? still : 0,
                 .after = tail ? 0 : still};
    const bool fits = order == THD ? tokens == job->batch * job->seq && (job->batch == 1 || job->seq == 1)
                                   : tokens == job->seq && (job->batch == 1 || job->batch == h->batch);
    const bool alike = x.dtype == y.dtype && x.dtype <= FLOAT16 && !memcmp(x.shape, y.shape, axes * sizeof(int64_t));
    if (!fits || still < 0) PyErr_SetString(PyExc_ValueError, "the angles do not fit the tensor");
    if (!alike) PyErr_SetString(PyExc_ValueError, "input and output must have one shape and one dtype that the kernel rotates");
    return fits && still >= 0 && alike;
}

static int64_t between(int64_t low, int64_t value, int64_t high) { return value < low ? low : value < high ? value : high; }

/* Memory that a job needs while it runs: angles that are computed on the way, and what is left of each thread's share. */
static bool allocate(Job *job, Share *only) {
    const size_t angles = job->from_phase ? 2 * job->threads * job->tokens * job->pairs : 0;
    job->scratch = angles ? malloc(sizeof(float) * angles) : NULL;
    job->shares = job->threads > 1 ? calloc(job->threads, sizeof(Share)) : only;
    return job->shares && (job->scratch || !angles);
}

static void release(Job *job, Share *only) {
    free(job->scratch);
    if (job->shares != only) free(job->shares);
}

/* Whether threads share out heads, not tokens, and so each has a coherent piece of memory, as it has when the frameworks
 * copy or fill the tensor: what lies in its cache stays there. Angles that each thread would compute again speak against it. */
static bool divides_heads(const Job *job) {
    const Heads *h = &job->heads[0];
    return !job->from_phase && job->tensors > 0 && h->in.head > h->in.seq && h->batch == 1 && h->heads >= job->threads;
}

/* Cuts the job into tiles for as many threads as it is worth, and runs it. `bytes`: what a token reads. */
static bool run(Job *job, int64_t bytes, int threads) {
    const int64_t tokens = job->batch * job->seq;
    job->threads = (int)between(1, tokens * bytes / BYTES_PER_THREAD, threads);
    job->far = tokens * bytes > FAR_BYTES;
    job->parts = divides_heads(job) ? job->threads : 1;
    const int64_t tiles = job->threads > 1 ? job->threads * TILES_PER_THREAD / job->parts : 1;
    job->tokens = between(1, tokens / tiles, TILE_TOKENS);
    Share only = {0};
    const bool allocated = allocate(job, &only);
    if (allocated) {
        /* A brief job is done before another thread would give the interpreter's lock back. */
        PyThreadState *unlocked = tokens * bytes < BRIEF_BYTES ? NULL : PyEval_SaveThread();
        run_job(job);
        if (unlocked) PyEval_RestoreThread(unlocked);
    }
    release(job, &only);
    if (!allocated) PyErr_NoMemory();
    return allocated;
}

static const Variant *variant_at(int index) {
    if (index >= 0 && index < variant_count) return variants[index];
    PyErr_Format(PyExc_ValueError, "variant must be an index of variants, got %d", index);
    return NULL;
}

static bool integers(PyObject *const *arguments, int count, long *numbers) {
    for (int i = 0; i < count; i++) {
        numbers[i] = PyLong_AsLong(arguments[i]);
        if (PyErr_Occurred()) return false;
    }
    return true;
}

static bool has_arguments(Py_ssize_t count, Py_ssize_t wanted) {
    if (count != wanted) PyErr_Format(PyExc_TypeError, "expected %zd arguments, got %zd", wanted, count);
    return count == wanted;
}

/* What is left over would be returned unwritten. */
static bool is_one_or_two(PyObject *xs, PyObject *outs) {
    const Py_ssize_t count = PyTuple_Check(xs) ? PyTuple_Size(xs) : -1;
    const bool fits = (count == 1 || count == 2) && PyTuple_Check(outs) && PyTuple_Size(outs) == count;
    if (!fits) PyErr_SetString(PyExc_ValueError, "xs and outs must be tuples of one or two tensors each");
    return fits;
}

PyDoc_STRVAR(rotate_doc,
             "rotate(variant, pairs, layout, tail, order, transpose, threads, xs, outs, cos, sin)\n"
             "rotate(variant, pairs, layout, tail, order, transpose, threads, xs, outs, positions, turns, gains, rows, axes)\n\n"
             "positions: all, (batch, seq) or (axes, batch, seq); or the first of each row, (batch,) or an int.\n"
             "Turn the one or two tensors of the tuple xs into those of outs. pairs: what the angles must have, -1 for any.\n"
             "Either every element of outs is written, or an exception is set and none is.");

static PyObject *py_rotate(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    (void)self;
    enum { VARIANT, PAIRS, LAYOUT, TAIL, ORDER, TRANSPOSE, THREADS, XS, OUTS, ANGLES, BY_TABLE = ANGLES + 2, BY_PHASE = ANGLES + 5 };
    long how[XS];
    if (!has_arguments(count, count == BY_TABLE ? BY_TABLE : BY_PHASE) || !integers(arguments, XS, how)) return NULL;
    PyObject *xs = arguments[XS], *outs = arguments[OUTS], *const *angles = arguments + ANGLES;
    const Variant *chosen = variant_at((int)how[VARIANT]);
    if (!chosen) return NULL;
    Job job = {.work = chosen->rotate, .layout = (Layout)how[LAYOUT], .flip = how[TRANSPOSE] ? 1u << 31 : 0};
    if (!(count == BY_PHASE ? parse_phase(angles, &job) : parse_table(angles, &job))) return NULL;
    if (how[PAIRS] >= 0 && job.pairs != how[PAIRS]) return PyErr_Format(PyExc_ValueError, "expected angles of %ld pairs", how[PAIRS]);
    if (!is_one_or_two(xs, outs)) return NULL;
    int64_t bytes = 0, batch = 0;
    for (job.tensors = 0; job.tensors < PyTuple_Size(xs); job.tensors++) {
        Heads *h = &job.heads[job.tensors];
        PyObject *x = PyTuple_GetItem(xs, job.tensors), *out = PyTuple_GetItem(outs, job.tensors);
        if (!parse_heads(x, out, (Order)how[ORDER], how[TAIL], &job, h)) return NULL;
        if (h->batch != job.heads[0].batch) return PyErr_Format(PyExc_ValueError, "q and k must have one batch");
        bytes += h->heads * 2 * job.pairs * (h->dtype == FLOAT32 ? 4 : 2);
        batch = batch < h->batch ? h->batch : batch;
    }
    job.batch = batch;
    if (!run(&job, bytes, (int)how[THREADS])) return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(cos_sin_doc,
             "cos_sin(variant, threads, positions, turns, gains, rows, axes, cos, sin)\n\n"
             "Write cos and sin of the phase, attention factor in; both shaped as the positions, float32, contiguous.");

static PyObject *py_cos_sin(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
    (void)self;
    long how[2];
    if (!has_arguments(count, 9) || !integers(arguments, 2, how)) return NULL;
    const Variant *chosen = variant_at((int)how[0]);
    if (!chosen) return NULL;
    Job job = {.work = chosen->cos_sin};
    if (!parse_table(arguments + 7, &job)) return NULL;
    const int64_t batch = job.batch, seq = job.seq, pairs = job.pairs;
    if (!parse_phase(arguments + 2, &job)) return NULL;
    if (batch != job.batch || seq != job.seq || pairs != job.pairs)
        return PyErr_Format(PyExc_ValueError, "cos and sin must be shaped as the positions");
    if (!run(&job, 2 * job.pairs * (int64_t)sizeof(float), (int)how[1])) return NULL;
    Py_RETURN_NONE;
}

static void find_all(void) {
    find_variants();
    find_threads();
}

static int add_constants(PyObject *module) {
    static pthread_once_t found = PTHREAD_ONCE_INIT; /* every interpreter in the process creates its own module */
    pthread_once(&found, find_all);
    PyObject *names = PyTuple_New(variant_count);
    for (int i = 0; names && i < variant_count; i++) {
        PyObject *name = PyUnicode_FromString(variants[i]->name);
        if (!name || PyTuple_SetItem(names, i, name) < 0) Py_CLEAR(names);
    }
    const int failed = names ? PyModule_AddObjectRef(module, "variants", names) : -1;
    Py_XDECREF(names);
    return failed ? failed : PyModule_AddIntConstant(module, "interface", INTERFACE);
}

static PyMethodDef methods[] = {{"rotate", (PyCFunction)(void (*)(void))py_rotate, METH_FASTCALL, rotate_doc},
                                {"cos_sin", (PyCFunction)(void (*)(void))py_cos_sin, METH_FASTCALL, cos_sin_doc},
                                {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_constants},
#ifdef Py_GIL_DISABLED
                                   {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
                                   {0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_cpu", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__cpu(void) { return PyModuleDef_Init(&definition); }
