/* The Python module: unpacks pointers, shapes and strides, and runs the job without the interpreter's lock.
 *
 * It knows no framework. Strides arrive in elements. */
#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>

#include "job.h"

enum {
    TILE_TOKENS = 32,            /* their cos and sin stay in the first cache while every head uses them */
    TILES_PER_THREAD = 4,        /* so that a thread that is held up costs little */
    BYTES_PER_THREAD = 256 << 10, /* less is not worth waking one */
    BRIEF_BYTES = 64 << 10,       /* done in microseconds */
    FAR_BYTES = 16 << 20         /* more than the caches keep */
};

static const Variant *variants[3]; /* those that run here, the fastest first */
static int variant_count;

static void find_variants(void) {
    variant_count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (avx512bf16_variant.runs_here()) variants[variant_count++] = &avx512bf16_variant;
    if (avx512_variant.runs_here()) variants[variant_count++] = &avx512_variant;
    if (avx2_variant.runs_here()) variants[variant_count++] = &avx2_variant;
#elif defined(__aarch64__)
    variants[variant_count++] = &neon_variant;
#endif
}

static const void *address(unsigned long long number) { return (const void *)(uintptr_t)number; }

/* (cos, sin, shape of both, strides of cos, strides of sin): each shape is (batch, seq, pairs), the pairs side by side. */
static bool parse_table(PyObject *tuple, Job *job) {
    unsigned long long cos, sin;
    long long batch, seq, pairs, c[3], s[3];
    if (!PyArg_ParseTuple(tuple, "KK(LLL)(LLL)(LLL);table", &cos, &sin, &batch, &seq, &pairs, &c[0], &c[1], &c[2], &s[0],
                          &s[1], &s[2]))
        return false;
    job->batch = batch, job->seq = seq, job->pairs = pairs;
    job->table = (Table){.cos = address(cos), .sin = address(sin), .cos_seq = 4 * c[1], .sin_seq = 4 * s[1]};
    if (batch > 1) job->table.cos_batch = 4 * c[0], job->table.sin_batch = 4 * s[0];
    return true;
}

/* (positions, whether they are int64, their shape (axes, batch, seq), their strides, pairs, turns, gains, rows, stride of
 * rows, axes): see Phase. */
static bool parse_phase(PyObject *tuple, Job *job) {
    unsigned long long positions, turns, gains, rows, axes;
    long long shape[3], strides[3], pairs, rows_batch;
    int wide;
    if (!PyArg_ParseTuple(tuple, "Kp(LLL)(LLL)LKKKLK;phase", &positions, &wide, &shape[0], &shape[1], &shape[2],
                          &strides[0], &strides[1], &strides[2], &pairs, &turns, &gains, &rows, &rows_batch, &axes))
        return false;
    const int64_t size = wide ? 8 : 4;
    job->batch = shape[1], job->seq = shape[2], job->pairs = pairs, job->from_phase = true;
    job->phase = (Phase){.positions = address(positions),
                         .wide = wide,
                         .axis = size * strides[0],
                         .batch = shape[1] > 1 ? size * strides[1] : 0,
                         .seq = size * strides[2],
                         .turns = address(turns),
                         .gains = address(gains),
                         .rows = address(rows),
                         .rows_batch = 4 * rows_batch,
                         .axes = address(axes)};
    return true;
}

typedef enum { BHSD, BSHD, THD } Order;

static Strides strides_of(const long long *strides, Order order, int64_t seq, int64_t size) {
    switch (order) {
    case BHSD: return (Strides){size * strides[0], size * strides[1], size * strides[2], size * strides[3]};
    case BSHD: return (Strides){size * strides[0], size * strides[2], size * strides[1], size * strides[3]};
    default: return (Strides){size * seq * strides[0], size * strides[1], size * strides[0], size * strides[2]};
    }
}

/* (dtype, input, output, shape of both, strides of the input, strides of the output); the angles are in the job already,
 * and packed tokens are laid out as their angles are. */
static bool parse_heads(PyObject *tuple, Order order, bool tail, const Job *job, Heads *h) {
    int dtype;
    unsigned long long x, y;
    long long shape[4], in[4], out[4];
    const bool parsed =
        order == THD ? PyArg_ParseTuple(tuple, "iKK(LLL)(LLL)(LLL);heads", &dtype, &x, &y, &shape[0], &shape[1], &shape[2],
                                        &in[0], &in[1], &in[2], &out[0], &out[1], &out[2])
                     : PyArg_ParseTuple(tuple, "iKK(LLLL)(LLLL)(LLLL);heads", &dtype, &x, &y, &shape[0], &shape[1], &shape[2],
                                        &shape[3], &in[0], &in[1], &in[2], &in[3], &out[0], &out[1], &out[2], &out[3]);
    if (!parsed) return false;
    const int64_t size = dtype == FLOAT32 ? 4 : 2, still = shape[order == THD ? 2 : 3] - 2 * job->pairs;
    const int64_t tokens = order == THD ? shape[0] : order == BHSD ? shape[2] : shape[1];
    *h = (Heads){.dtype = (Dtype)dtype,
                 .x = address(x),
                 .y = (char *)address(y),
                 .in = strides_of(in, order, job->seq, size),
                 .out = strides_of(out, order, job->seq, size),
                 .batch = order == THD ? job->batch : shape[0],
                 .heads = shape[order == BSHD ? 2 : 1],
                 .before = tail ? still : 0,
                 .after = tail ? 0 : still};
    const bool fits = order == THD ? tokens == job->batch * job->seq
                                   : tokens == job->seq && (job->batch == 1 || job->batch == h->batch);
    if (!fits || still < 0) PyErr_SetString(PyExc_ValueError, "the angles do not fit the tensor");
    return fits && still >= 0;
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
static PyObject *run(Job *job, int64_t bytes, int threads) {
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
    if (!allocated) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static const Variant *variant_at(int index) {
    if (index >= 0 && index < variant_count) return variants[index];
    PyErr_Format(PyExc_ValueError, "variant must be an index of variants, got %d", index);
    return NULL;
}

PyDoc_STRVAR(rotate_doc,
             "rotate(variant, layout, tail, order, transpose, threads, table, phase, heads)\n\n"
             "Turn the one or two tensors of the tuple heads. One of table and phase is None.");

static PyObject *py_rotate(PyObject *self, PyObject *arguments) {
    (void)self;
    int variant, layout, tail, order, transpose, threads;
    PyObject *table, *phase, *heads;
    if (!PyArg_ParseTuple(arguments, "iipipiOOO;rotate", &variant, &layout, &tail, &order, &transpose, &threads, &table,
                          &phase, &heads))
        return NULL;
    const Variant *chosen = variant_at(variant);
    if (!chosen) return NULL;
    Job job = {.work = chosen->rotate, .layout = (Layout)layout, .flip = transpose ? 1u << 31 : 0};
    if (!(phase != Py_None ? parse_phase(phase, &job) : parse_table(table, &job))) return NULL;
    int64_t bytes = 0, batch = 0;
    for (job.tensors = 0; job.tensors < (int)PyTuple_Size(heads) && job.tensors < 2; job.tensors++) {
        Heads *h = &job.heads[job.tensors];
        if (!parse_heads(PyTuple_GetItem(heads, job.tensors), (Order)order, tail, &job, h)) return NULL;
        bytes += h->heads * 2 * job.pairs * (h->dtype == FLOAT32 ? 4 : 2);
        batch = batch < h->batch ? h->batch : batch;
    }
    job.batch = batch;
    return run(&job, bytes, threads);
}

PyDoc_STRVAR(cos_sin_doc,
             "cos_sin(variant, threads, phase, table)\n\n"
             "Write cos and sin of phase, attention factor in, to table, which is shaped as the phase's positions.");

static PyObject *py_cos_sin(PyObject *self, PyObject *arguments) {
    (void)self;
    int variant, threads;
    PyObject *phase, *table;
    if (!PyArg_ParseTuple(arguments, "iiOO;cos_sin", &variant, &threads, &phase, &table)) return NULL;
    const Variant *chosen = variant_at(variant);
    if (!chosen) return NULL;
    Job job = {.work = chosen->cos_sin};
    if (!parse_table(table, &job) || !parse_phase(phase, &job)) return NULL;
    return run(&job, 2 * job.pairs * (int64_t)sizeof(float), threads);
}

static int add_variants(PyObject *module) {
    find_variants();
    find_threads();
    PyObject *names = PyTuple_New(variant_count);
    for (int i = 0; names && i < variant_count; i++) {
        PyObject *name = PyUnicode_FromString(variants[i]->name);
        if (!name || PyTuple_SetItem(names, i, name) < 0) Py_CLEAR(names);
    }
    const int failed = names ? PyModule_AddObjectRef(module, "variants", names) : -1;
    Py_XDECREF(names);
    return failed;
}

static PyMethodDef methods[] = {{"rotate", py_rotate, METH_VARARGS, rotate_doc},
                                {"cos_sin", py_cos_sin, METH_VARARGS, cos_sin_doc},
                                {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_variants}, {0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_cpu", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__cpu(void) { return PyModuleDef_Init(&definition); }
