#include "py/path.h"

#define SHOWN 16u /* steps */

static PyObject *path_of(PyObject *path, const ckpy_frame *frame)
{
    const ckpy_frame *frames[CKV_MAX_DEPTH + 4];
    size_t n = 0;
    for (; frame && n < sizeof frames / sizeof *frames; frame = frame->up) frames[n++] = frame;
    for (unsigned shown = 0; path && n-- > 0; shown++) {
        PyObject *more = shown == SHOWN   ? PyUnicode_FromFormat("%U...", path)
                         : frames[n]->key ? PyUnicode_FromFormat("%U[%.200R]", path, frames[n]->key)
                                          : PyUnicode_FromFormat("%U[%zd]", path, frames[n]->index);
        Py_SETREF(path, more);
        if (shown == SHOWN) break;
    }
    return path;
}

int ckpy_refuse_at(PyObject *class, const char *what, PyObject *begin, const ckpy_frame *frame)
{
    PyObject *path = path_of(begin, frame);
    if (path && PyUnicode_GET_LENGTH(path) > 0)
        PyErr_Format(class, "%s at %U", what, path);
    else if (path)
        PyErr_SetString(class, what);
    Py_XDECREF(path);
    return -1;
}
