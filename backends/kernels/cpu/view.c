#include "view.h"

#include <string.h>

/* The part of DLPack that is read here; its layout is the same for all of major version 1.
 * Source: github.com/dmlc/dlpack, include/dlpack/dlpack.h */
enum { DLPACK_MAJOR = 1, DEVICE_CPU = 1, CODE_INT = 0, CODE_FLOAT = 2, CODE_BFLOAT = 4 };

typedef struct {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} DlTensor;

typedef int Describe(void *object, DlTensor *out);

typedef struct {
    uint32_t major, minor;
    void *previous;
    void *allocate, *export, *import;
    Describe *describe; /* may be NULL; what it fills in is valid as long as the tensor */
    void *current_stream;
} Exchange;

#ifdef Py_GIL_DISABLED
#define PER_THREAD _Thread_local
#else
#define PER_THREAD
#endif

/* Returns how tensors of this type describe themselves; NULL, with an exception set, where they do not. */
static Describe *describe_of(PyObject *type) {
    static PER_THREAD PyObject *last; /* a call has tensors of one type, and so has the next call */
    static PER_THREAD Describe *found;
    if (type == last) return found;
    PyObject *capsule = PyObject_GetAttrString(type, "__dlpack_c_exchange_api__");
    if (!capsule) return NULL;
    const Exchange *exchange = PyCapsule_GetPointer(capsule, "dlpack_exchange_api");
    Py_DECREF(capsule);
    if (!exchange) return NULL;
    if (exchange->major != DLPACK_MAJOR || !exchange->describe) {
        PyErr_SetString(PyExc_TypeError, "this type of tensor offers no DLPack 1 description of itself");
        return NULL;
    }
    Py_INCREF(type);
    Py_XDECREF(last);
    last = type, found = exchange->describe;
    return found;
}

static Dtype dtype_of(const DlTensor *tensor) {
    const int code = tensor->dtype.code, bits = tensor->dtype.bits;
    if (tensor->dtype.lanes != 1) return OTHER;
    if (bits == 64) return code == CODE_INT ? INT64 : OTHER;
    if (bits == 32) return code == CODE_FLOAT ? FLOAT32 : code == CODE_INT ? INT32 : OTHER;
    return bits != 16 ? OTHER : code == CODE_BFLOAT ? BFLOAT16 : code == CODE_FLOAT ? FLOAT16 : OTHER;
}

static bool described(PyObject *object, View *view) {
    DlTensor tensor = {0};
    Describe *describe = describe_of((PyObject *)Py_TYPE(object));
    if (!describe || describe(object, &tensor)) return false;
    if (tensor.device.type != DEVICE_CPU || tensor.ndim > MOST_AXES) {
        PyErr_SetString(PyExc_ValueError, "the kernel takes tensors on the CPU, of at most 4 axes");
        return false;
    }
    view->data = (char *)tensor.data + tensor.byte_offset;
    view->dtype = dtype_of(&tensor);
    view->axes = tensor.ndim;
    memcpy(view->shape, tensor.shape, tensor.ndim * sizeof(int64_t));
    memcpy(view->strides, tensor.strides, tensor.ndim * sizeof(int64_t));
    return true;
}

static bool integers(PyObject *tuple, int count, int64_t *numbers) {
    for (int i = 0; i < count; i++) {
        numbers[i] = PyLong_AsLongLong(PyTuple_GetItem(tuple, i));
        if (PyErr_Occurred()) return false;
    }
    return true;
}

static bool told(PyObject *tuple, View *view) {
    unsigned long long address;
    int dtype;
    PyObject *shape, *strides;
    if (!PyArg_ParseTuple(tuple, "KiO!O!;tensor", &address, &dtype, &PyTuple_Type, &shape, &PyTuple_Type, &strides)) return false;
    view->data = (void *)(uintptr_t)address;
    view->dtype = (Dtype)dtype;
    view->axes = (int)PyTuple_Size(shape);
    if (view->axes > MOST_AXES || PyTuple_Size(strides) != view->axes) {
        PyErr_SetString(PyExc_ValueError, "a tensor has at most 4 axes, and a stride for each");
        return false;
    }
    return integers(shape, view->axes, view->shape) && integers(strides, view->axes, view->strides);
}

bool view_of(PyObject *object, int axes, View *view) {
    if (!(PyTuple_Check(object) ? told(object, view) : described(object, view))) return false;
    if (axes == ANY_AXES) return true;
    if (view->axes != axes) PyErr_Format(PyExc_ValueError, "expected a tensor of %d axes, got %d", axes, view->axes);
    return view->axes == axes;
}
