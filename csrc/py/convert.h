/* convert.h -- between Python's values and the core's. */
#ifndef CKPY_CONVERT_H
#define CKPY_CONVERT_H

#include "py/state.h"

/* ---- in */

/* A bytes object with the content of any bytes-like one; new reference. TypeError says `what` wants it.
 * Whatever is not bytes is copied: it could change while we read without the GIL. */
PyObject *ckpy_bytes_arg(PyObject *op, const char *what);

int ckpy_id_arg(PyObject *op, ckv_id32 *out);

/* Ids out of an iterable, sorted and without repeats; free with PyMem_Free. */
int ckpy_ids_arg(PyObject *op, ckv_id32 **ids, size_t *n);

/* A position or count: any object with __index__; beyond Py_ssize_t: IndexError. */
int ckpy_index_arg(PyObject *op, Py_ssize_t *out);

/* An int of 128 bits at most. OverflowError. */
int ckpy_i128_arg(PyObject *op, ckv_i128 *out);

/* A scalar. 1: done, points into op; 0: op is no scalar; -1: an exception. */
int ckpy_value_arg(PyObject *op, ckv_value *out);

/* ValueError if s holds a lone surrogate. */
int ckpy_check_surrogates(PyObject *s);

/* str with its data in place (before 3.12 that was not for free). */
static inline int ckpy_ready(PyObject *s)
{
#if PY_VERSION_HEX < 0x030C0000
    return PyUnicode_READY(s);
#else
    (void)s;
    return 0;
#endif
}

/* ---- asking Python. By names that are interned: CPython's cache of methods goes by where a name stands, and would keep each new one. */

PyObject *ckpy_attr(PyObject *op, const char *name);
/* op.name(), op.name(a) or op.name(a, b): the others are NULL. */
PyObject *ckpy_call(PyObject *op, const char *name, PyObject *a, PyObject *b);

/* What a clock says, in ms; NULL: the system's. Without a lock. -1: an exception. */
int ckpy_now(PyObject *clock, int64_t *ms);

/* (author, lane, seq, a, b), as ckpy_equivocations gives them. */
int ckpy_equivocation_arg(PyObject *const *args, Py_ssize_t nargs, ckv_equivocation *out);

/* ---- out */

PyObject *ckpy_id(const ckv_id32 *id);

/* __copy__ and __deepcopy__ of what never changes. */
PyObject *ckpy_itself(PyObject *op, PyObject *ignored);
#define CKPY_COPY_METHODS                                                                          \
    {"__copy__", ckpy_itself, METH_NOARGS, "__copy__($self, /)\n--\n\nItself: it never changes."}, \
    {                                                                                              \
        "__deepcopy__", ckpy_itself, METH_O,                                                       \
            "__deepcopy__($self, memo, /)\n--\n\nItself: it never changes."                        \
    }
PyObject *ckpy_id_tuple(const ckv_id32 *ids, size_t n);
PyObject *ckpy_id_buf_tuple(const ckv_buf *ids);

PyObject *ckpy_i128(ckv_i128 v);

typedef struct ckpy_figure {
    const char *name;
    uint64_t value;
} ckpy_figure;
/* A dict, of the kind that shows itself as a table. */
PyObject *ckpy_figures(ckpy_state *st, const ckpy_figure *rows, size_t n);

PyObject *ckpy_equivocations(const ckv_buf *found /* of ckv_equivocation */); /* a list */

/* A scalar as a Python object that no garbage collector tracks, so it may be made under the lock. */
PyObject *ckpy_value(const ckv_value *v);

#endif
