/* path.h -- where in a value of Python's something is wrong: "at ['a'][3]". */
#ifndef CKPY_PATH_H
#define CKPY_PATH_H

#include "py/state.h"

/* A step down into a container; these stand on the C stack of whoever goes down. */
typedef struct ckpy_frame {
    const struct ckpy_frame *up;
    PyObject *key; /* borrowed; NULL: an index */
    Py_ssize_t index;
} ckpy_frame;

/* Raises "what at path"; -1. `begin`: what stands before the path, a str that is taken over, or NULL with an exception. */
int ckpy_refuse_at(PyObject *class, const char *what, PyObject *begin, const ckpy_frame *frame);

#endif
