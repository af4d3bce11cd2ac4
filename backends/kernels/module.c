/* The Python module: unpacks pointers, shapes and strides, and runs the job without the interpreter's lock.
 *
 * It knows no framework and checks nothing that its caller (backends/torch/native.py) has checked. Strides arrive in elements. */
#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>

#include "job.h"

enum {
    TILE_TOKENS = 32,            /* their cos and sin stay in the first cache while every head uses them */
    TILES_PER_THREAD = 4,        /* so that a thread that is held up costs little */
    BYTES_PER_THREAD = 256 << 10, /* less is not worth waking one */
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

static bool parse_table(PyObject *tuple, Table *t) {
    unsigned long long cos, sin;
    long long cb, cs, sb, ss;
    if (!PyArg_ParseTuple(tuple, "KLLKLL;table", &cos, &cb, &cs, &sin, &sb, &ss)) return false;
    *t = (Table){(const char *)(uintptr_t)cos, (const char *)(uintptr_t)sin, 4 * cb, 4 * cs, 4 * sb, 4 * ss};
    return true;
}

static bool parse_phase(PyObject *tuple, Phase *p) {
    unsigned long long positions, turns, gains, rows, axes;
    long long axis, batch, seq, rows_batch;
    int wide;
    if (!PyArg_ParseTuple(tuple, "KpLLLKKKLK;phase", &positions, &wide, &axis, &batch, &seq, &turns, &gains, &rows,
                          &rows_batch, &axes))
        return false;
    const int64_t size = wide ? 8 : 4;
    *p = (Phase){.positions = (const char *)(uintptr_t)positions,
                 .wide = wide,
                 .axis = size * axis,
                 .batch = size * batch,
                 .seq = size * seq,
                 .turns = (const uint64_t *)(uintptr_t)turns,
                 .gains = (const float *)(uintptr_t)gains,
                 .rows = (const char *)(uintptr_t)rows,
                 .rows_batch = 4 * rows_batch,
                 .axes = (const int32_t *)(uintptr_t)axes};
    return true;
}

static bool parse_heads(PyObject *tuple, Dtype dtype, Heads *h) {
    unsigned long long x, y;
    long long heads, before, after, in[4], out[4];
    if (!PyArg_ParseTuple(tuple, "KKLLLLLLLLLLL;heads", &x, &y, &heads, &before, &after, &in[0], &in[1], &in[2], &in[3],
                          &out[0], &out[1], &out[2], &out[3]))
        return false;
    const int64_t size = dtype == FLOAT32 ? 4 : 2;
    *h = (Heads){.x = (const char *)(uintptr_t)x,
                 .y = (char *)(uintptr_t)y,
                 .in = {size * in[0], size * in[1], size * in[2], size * in[3]},
                 .out = {size * out[0], size * out[1], size * out[2], size * out[3]},
                 .heads = heads,
                 .before = before,
                 .after = after};
    return true;
}

static int64_t between(int64_t low, int64_t value, int64_t high) { return value < low ? low : value < high ? value : high; }

/* Cuts the job into tiles for as many threads as it is worth, and runs it. `bytes`: what a token reads. */
static PyObject *run(Job *job, int64_t bytes, int threads) {
    const int64_t tokens = job->batch * job->seq;
    threads = (int)between(1, tokens * bytes / BYTES_PER_THREAD, threads);
    job->far = tokens * bytes > FAR_BYTES;
    job->tokens = between(1, threads > 1 ? tokens / (threads * TILES_PER_THREAD) : TILE_TOKENS, TILE_TOKENS);
    if (job->from_phase) {
        job->scratch = malloc(sizeof(float) * 2 * threads * job->tokens * job->pairs);
        if (!job->scratch) return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    run_job(job, threads);
    Py_END_ALLOW_THREADS
    free(job->scratch);
    Py_RETURN_NONE;
}

static const Variant *variant_at(int index) {
    if (index >= 0 && index < variant_count) return variants[index];
    PyErr_Format(PyExc_ValueError, "variant must be an index of variants, got %d", index);
    return NULL;
}

PyDoc_STRVAR(rotate_doc,
             "rotate(variant, dtype, layout, transpose, threads, (batch, seq, pairs), table, phase, q, k)\n\n"
             "Turn q, and k unless None. One of table and phase is None.");

static PyObject *py_rotate(PyObject *self, PyObject *arguments) {
    (void)self;
    int variant, dtype, layout, transpose, threads;
    long long batch, seq, pairs;
    PyObject *table, *phase, *q, *k;
    if (!PyArg_ParseTuple(arguments, "iiipi(LLL)OOOO;rotate", &variant, &dtype, &layout, &transpose, &threads, &batch, &seq,
                          &pairs, &table, &phase, &q, &k))
        return NULL;
    const Variant *chosen = variant_at(variant);
    if (!chosen) return NULL;
    Job job = {.work = chosen->rotate, .dtype = (Dtype)dtype, .layout = (Layout)layout, .flip = transpose ? 1u << 31 : 0,
               .batch = batch, .seq = seq, .pairs = pairs, .from_phase = phase != Py_None, .tensors = k == Py_None ? 1 : 2};
    if (!(job.from_phase ? parse_phase(phase, &job.phase) : parse_table(table, &job.table))) return NULL;
    if (!parse_heads(q, job.dtype, &job.heads[0])) return NULL;
    if (job.tensors == 2 && !parse_heads(k, job.dtype, &job.heads[1])) return NULL;
    const int64_t size = job.dtype == FLOAT32 ? 4 : 2;
    return run(&job, (job.heads[0].heads + job.heads[1].heads) * 2 * pairs * size, threads);
}

PyDoc_STRVAR(cos_sin_doc,
             "cos_sin(variant, threads, (batch, seq, pairs), phase, table)\n\n"
             "Write cos and sin, attention factor in, to the addresses in table.");

static PyObject *py_cos_sin(PyObject *self, PyObject *arguments) {
    (void)self;
    int variant, threads;
    long long batch, seq, pairs;
    PyObject *phase, *table;
    if (!PyArg_ParseTuple(arguments, "ii(LLL)OO;cos_sin", &variant, &threads, &batch, &seq, &pairs, &phase, &table))
        return NULL;
    const Variant *chosen = variant_at(variant);
    if (!chosen) return NULL;
    Job job = {.work = chosen->cos_sin, .batch = batch, .seq = seq, .pairs = pairs};
    if (!parse_phase(phase, &job.phase) || !parse_table(table, &job.table)) return NULL;
    return run(&job, 2 * pairs * sizeof(float), threads);
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
