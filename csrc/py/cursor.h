/* cursor.h -- what obj_cursor.c gives to Text and List: their method cursor(). */
#ifndef CKPY_CURSOR_H
#define CKPY_CURSOR_H

#include "py/handle.h"

PyObject *ckpy_cursor_method(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames);

#endif
