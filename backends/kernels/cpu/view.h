/* A tensor of whichever framework, as it lies in memory.
 *
 * It arrives by the table of functions that its type offers to C (DLPack 1.3, `__dlpack_c_exchange_api__`), in a few nanoseconds;
 * where the type has none, as the tuple (address, dtype, shape, strides). No framework's headers are needed. */
#ifndef TIGHTROPE_VIEW_H
#define TIGHTROPE_VIEW_H

#define PY_SSIZE_T_CLEAN
#include <pyconfig.h>
#ifndef Py_GIL_DISABLED /* a free-threaded Python has no stable interface */
#define Py_LIMITED_API 0x030b0000
#endif
#include <Python.h>

#include "job.h"

enum { MOST_AXES = 4, ANY_AXES = -1 };

/* Strides in elements. */
typedef struct {
    void *data;
    Dtype dtype;
    int axes;
    int64_t shape[MOST_AXES], strides[MOST_AXES];
} View;

/* Returns false, with a Python exception set, where the object is no tensor on the CPU with that many axes, or ANY_AXES. */
bool view_of(PyObject *object, int axes, View *view);

#endif
